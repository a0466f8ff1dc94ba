"""Corrections with their pictures. A table of the time before migrations stays."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing."""
    op.create_table(
        "corrections",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sample_id", sa.String(255), nullable=False, unique=True),
        sa.Column("said_at", sa.String(32), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("model_version", sa.String(255), nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("fate", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("picture", sa.LargeBinary, nullable=True),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    for column in ("said_at", "fate"):
        op.create_index(f"ix_corrections_{column}", "corrections", [column], if_not_exists=True)
