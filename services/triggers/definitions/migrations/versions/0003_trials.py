"""Backtests as jobs, and rollouts under way."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "triggers"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "backtests",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("triggers", ARRAY(sa.Text), nullable=False),
        sa.Column("question", sa.Text, nullable=False, comment="JSON"),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, comment="microseconds"),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("what", sa.Text, nullable=False, server_default=""),
        sa.Column("share", sa.Float(53)),
        sa.Column("error", sa.Text),
        sa.Column("owner", sa.Text, comment="who runs it"),
        sa.Column("alive_at", sa.BigInteger, comment="when the owner was heard last"),
        sa.Column("report", sa.Text, comment="JSON"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed', 'cancelled')",
            name="backtests_status",
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "backtests_open",
        "backtests",
        ["number"],
        schema=SCHEMA,
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_table(
        "rollouts",
        sa.Column("trigger", sa.Text, primary_key=True),
        sa.Column("running", sa.Boolean, nullable=False),
        sa.Column("rollout", sa.Text, nullable=False, comment="JSON"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("rollouts", schema=SCHEMA)
    op.drop_table("backtests", schema=SCHEMA)
