"""The decision log: recent decisions, counts by the hour, and how far the topic was read."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = "profile_store"


def upgrade() -> None:
    """Make the tables and their indexes."""
    op.create_table(
        "decisions",
        sa.Column("digest", sa.LargeBinary, primary_key=True, comment="of the whole record"),
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("now", sa.BigInteger, nullable=False, comment="engine time, microseconds"),
        sa.Column("trigger", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("send_id", sa.Text),
        sa.Column("details", sa.Text, nullable=False, comment="JSON"),
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("put_off", sa.Boolean, nullable=False),
        sa.Column(
            "stored_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        schema=SCHEMA,
    )
    op.create_index("decisions_person", "decisions", ["person", "now", "digest"], schema=SCHEMA)
    # Rows come in the order of `stored_at`: a small index finds the old ones.
    op.create_index(
        "decisions_stored_at", "decisions", ["stored_at"], schema=SCHEMA, postgresql_using="brin"
    )
    op.create_table(
        "decision_counts",
        sa.Column("trigger", sa.Text(collation="C"), nullable=False),
        sa.Column("hour", sa.BigInteger, nullable=False, comment="its beginning, microseconds"),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("put_off", sa.Boolean, nullable=False),
        sa.Column("decisions", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("trigger", "hour", "version", "outcome", "reason", "put_off"),
        schema=SCHEMA,
    )
    op.create_table(
        "decision_places",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_offset", sa.BigInteger, nullable=False),
        sa.Column("written_ms", sa.BigInteger, nullable=False, comment="Kafka's, the latest"),
        schema=SCHEMA,
    )
