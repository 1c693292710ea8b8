"""The segments of a profile, and what has become of its discrete values."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Add the column, its index and the history. The version before writes neither."""
    op.add_column(
        "profiles",
        sa.Column("segments", ARRAY(sa.Text), nullable=False, server_default="{}"),
        schema=SCHEMA,
    )
    op.create_index(
        "profiles_segments", "profiles", ["segments"], schema=SCHEMA, postgresql_using="gin"
    )
    op.create_table(
        "history",
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False, comment="tag or segment"),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, comment="engine time, microseconds"),
        sa.Column("value", JSONB, comment="from then on; NULL where there is none"),
        sa.PrimaryKeyConstraint("person", "kind", "name", "at"),
        sa.CheckConstraint("kind IN ('tag', 'segment')", name="history_kind"),
        schema=SCHEMA,
    )
    # Rows come nearly in the order of time: a block range index finds the old ones.
    op.create_index("history_at", "history", ["at"], schema=SCHEMA, postgresql_using="brin")
