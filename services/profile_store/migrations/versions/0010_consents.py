"""The proof of consents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "profiles",
        sa.Column("consents", JSONB, nullable=False, server_default="{}"),
        schema=SCHEMA,
    )
    op.drop_constraint("history_kind", "history", schema=SCHEMA)
    op.create_check_constraint(
        "history_kind", "history", "kind IN ('tag', 'segment', 'consent')", schema=SCHEMA
    )
