"""What models expected of people, to be compared with what came."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "forecasts",
        sa.Column("tag", sa.Text(collation="C"), primary_key=True),
        sa.Column("made_at", sa.BigInteger, primary_key=True, comment="microseconds"),
        sa.Column("parameters", JSONB, nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "forecast_people",
        sa.Column("tag", sa.Text(collation="C"), primary_key=True),
        sa.Column("made_at", sa.BigInteger, primary_key=True),
        sa.Column("who", sa.BigInteger, primary_key=True, comment="fingerprint of the person"),
        sa.Column("x", sa.Double, nullable=False, comment="repeat orders"),
        sa.Column("t_x", sa.Double, nullable=False, comment="days to the last of them"),
        sa.Column("age", sa.Double, nullable=False, comment="days since the first order"),
        sa.ForeignKeyConstraint(
            ["tag", "made_at"],
            [f"{SCHEMA}.forecasts.tag", f"{SCHEMA}.forecasts.made_at"],
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
