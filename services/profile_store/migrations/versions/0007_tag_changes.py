"""When each tag last changed in anybody: by this a tag is known to have gone stale."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the table: a row a tag, written to at most once an hour."""
    op.create_table(
        "tag_changes",
        sa.Column("name", sa.Text(collation="C"), primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False, comment="the first that was noticed"),
        sa.Column("at", sa.BigInteger, nullable=False, comment="engine time, microseconds"),
        schema=SCHEMA,
    )
