"""The table of profiles."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the table and its indexes."""
    # Byte order: pages are cut by person, and must not depend on a locale.
    op.create_table(
        "profiles",
        sa.Column("person", sa.Text(collation="C"), primary_key=True),
        sa.Column("user_id", sa.Text),
        sa.Column("anonymous_id", sa.Text),
        sa.Column("as_of", sa.BigInteger, nullable=False, comment="engine time, microseconds"),
        sa.Column("source_partition", sa.Integer, nullable=False),
        sa.Column("source_offset", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False, comment="microseconds"),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False, comment="microseconds"),
        sa.Column("messages_accepted", sa.BigInteger, nullable=False),
        sa.Column("messages_failed", sa.BigInteger, nullable=False),
        sa.Column("last_message_at", sa.BigInteger, comment="microseconds"),
        sa.Column("approximate", JSONB, nullable=False, comment="names of estimated tags"),
        sa.Column("traits", JSONB, nullable=False),
        sa.Column("tags", JSONB, nullable=False),
        schema=SCHEMA,
    )
    op.create_index(
        "profiles_anonymous_id",
        "profiles",
        ["anonymous_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("anonymous_id IS NOT NULL"),
    )
    # jsonb_ops, not jsonb_path_ops: only it serves "the tag is there" under a range.
    op.create_index("profiles_tags", "profiles", ["tags"], schema=SCHEMA, postgresql_using="gin")
