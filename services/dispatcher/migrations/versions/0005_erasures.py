"""Receipts of people who were forgotten."""

from alembic import op

from services.runtime.erasing import RECEIPTS_TABLE

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(RECEIPTS_TABLE.format(schema="dispatcher"))


def downgrade() -> None:
    """Drop the receipts."""
    op.execute("DROP TABLE dispatcher.erasures")
