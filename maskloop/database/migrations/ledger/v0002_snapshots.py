"""Folded states, kept so that a reader need not begin at the first entry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create an empty table: the next reconcile keeps the first snapshot."""
    op.create_table(
        "snapshots",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("fold_version", sa.String(64), primary_key=True),
        sa.Column("entry_digest", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("body_digest", sa.String(64), nullable=False),
    )
