"""Receipts of people who were forgotten."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "erasures",
        sa.Column("request", sa.Text(collation="C"), nullable=False),
        sa.Column("person", sa.Text(collation="C"), nullable=False, comment="a digest once swept"),
        sa.Column("at", sa.BigInteger, nullable=False, comment="engine time, microseconds"),
        sa.Column("deleted", JSONB, nullable=False, comment="rows by table"),
        sa.Column(
            "done_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.Column("swept_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("request", "person"),
        schema=SCHEMA,
    )
