"""Sketches of samples by hour, version, source and feature; bases of embeddings; what was read of the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create what is missing."""
    op.create_table(
        "sketches",
        sa.Column("start_s", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("length_s", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("weights_digest", sa.String(64), primary_key=True),
        sa.Column("model_version", sa.String(64), primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("feature", sa.Text, primary_key=True),
        sa.Column("sketch", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "sketch_bases",
        sa.Column("weights_digest", sa.String(64), primary_key=True),
        sa.Column("num_values", sa.Integer, nullable=False),
        sa.Column("frequencies", sa.LargeBinary, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "sketch_progress",
        sa.Column("reader", sa.String(64), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
