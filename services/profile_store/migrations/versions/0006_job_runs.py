"""Runs of jobs, each with its report."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the table and its indexes."""
    op.create_table(
        "job_runs",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("job", sa.Text(collation="C"), nullable=False),
        sa.Column("slot", sa.BigInteger, comment="scheduled for, microseconds; null: asked for"),
        sa.Column("started_at", sa.BigInteger, nullable=False, comment="microseconds"),
        sa.Column("finished_at", sa.BigInteger, comment="microseconds"),
        sa.Column("outcome", sa.Text(collation="C"), nullable=False),
        sa.Column("report", JSONB, nullable=False),
        schema=SCHEMA,
    )
    op.create_index("job_runs_job", "job_runs", ["job", "id"], schema=SCHEMA)
    op.create_index(
        "job_runs_slot",
        "job_runs",
        ["job", "slot"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("slot IS NOT NULL"),
    )
