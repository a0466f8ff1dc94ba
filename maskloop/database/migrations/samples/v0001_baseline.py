"""Samples, their scores and the numbers of forgotten ones. Tables of the time before migrations stay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing."""
    op.create_table(
        "samples",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sample_id", sa.String(255), nullable=False, unique=True),
        sa.Column("received_at", sa.String(32), nullable=False),
        sa.Column("weights_digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("skip_reason", sa.Text, nullable=False),
        sa.Column("picture_file", sa.String(255), nullable=True),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("embedding", sa.LargeBinary, nullable=True),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    for column in ("received_at", "weights_digest", "status", "picture_file"):
        op.create_index(f"ix_samples_{column}", "samples", [column], if_not_exists=True)
    has_picture = sa.text("picture_file IS NOT NULL")
    op.create_index(
        "samples_with_a_picture",
        "samples",
        ["sequence", "picture_file"],
        sqlite_where=has_picture,
        postgresql_where=has_picture,
        if_not_exists=True,
    )
    op.create_table(
        "scores",
        sa.Column("sample_id", sa.String(255), primary_key=True),
        sa.Column("detector", sa.String(255), primary_key=True),
        if_not_exists=True,
    )
    op.create_table(
        "forgotten",
        sa.Column("status", sa.String(16), primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("num_samples", sa.Integer, nullable=False),
        if_not_exists=True,
    )
