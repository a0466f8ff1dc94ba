"""What each process of a service took of each day's quotas of samples."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing."""
    op.create_table(
        "sampling_workers",
        sa.Column("worker", sa.String(255), primary_key=True),
        sa.Column("seen_at", sa.String(32), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "samples_taken",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker", sa.String(255), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("num_samples", sa.Integer, nullable=False),
        if_not_exists=True,
    )
