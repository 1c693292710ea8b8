"""Receipts of people who were forgotten."""

from alembic import op

from services.runtime.erasing import RECEIPTS_TABLE

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    op.execute(RECEIPTS_TABLE.format(schema="profile_store"))
