"""Pairs of answers to the same picture. A table of the time before migrations stays."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "rollout_pairs",
        sa.Column("sequence", number, primary_key=True, autoincrement=True),
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(255), nullable=False),
        sa.Column("difference", sa.Float, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("answers", sa.LargeBinary, nullable=False),
        sa.Column("picture", sa.LargeBinary, nullable=True),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.UniqueConstraint("rollout", "request_id"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("ix_rollout_pairs_rollout", "rollout_pairs", ["rollout"], if_not_exists=True)
