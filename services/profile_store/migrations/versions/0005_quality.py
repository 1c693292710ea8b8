"""Data quality: what cleaning found by source, counted by the day, and samples of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "quality_counts",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("rule", sa.Text(collation="C"), nullable=False),
        sa.Column("fault", sa.Text(collation="C"), nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False, comment="its beginning, microseconds"),
        sa.Column("findings", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "rule", "fault", "day"),
        schema=SCHEMA,
    )
    op.create_table(
        "quality_samples",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("rule", sa.Text(collation="C"), nullable=False),
        sa.Column("fault", sa.Text(collation="C"), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, comment="engine time, microseconds"),
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("sample", sa.Text),
        sa.PrimaryKeyConstraint("source", "rule", "fault", "partition", "position"),
        schema=SCHEMA,
    )
    op.create_index("quality_samples_person", "quality_samples", ["person"], schema=SCHEMA)
    op.create_table(
        "quality_places",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, comment="the latest, microseconds"),
        schema=SCHEMA,
    )
