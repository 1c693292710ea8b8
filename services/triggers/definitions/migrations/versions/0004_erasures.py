"""Receipts of people who were forgotten."""

from alembic import op

from services.runtime.erasing import RECEIPTS_TABLE

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(RECEIPTS_TABLE.format(schema="triggers"))


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE triggers.erasures")
