"""Where the row of a merged person leads."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column. The version before writes rows without it, which stays allowed."""
    op.add_column(
        "profiles",
        sa.Column("merged_into", sa.Text, comment="the person who has everything now"),
        schema="profile_store",
    )
