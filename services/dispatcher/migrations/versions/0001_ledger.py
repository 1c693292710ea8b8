"""The ledger of sends."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Leases compare instants across machines, so they all use the database's clock. STABLE, so
# that an index can serve the comparison.
NOW_MICROS = """
CREATE FUNCTION dispatcher.now_micros() RETURNS bigint LANGUAGE sql STABLE
AS $$ SELECT (extract(epoch FROM now()) * 1000000)::bigint $$
"""

# All instants are microseconds since the epoch. `command` holds the original bytes until the
# outcome is reported: afterwards no personal data but the person's id is left.
SENDS = """
CREATE TABLE dispatcher.sends (
    send_id          uuid     PRIMARY KEY,
    person           text     NOT NULL,
    trigger          text     NOT NULL,
    channel          text     NOT NULL,
    queue            text     NOT NULL,
    rank             smallint NOT NULL,
    state            text     NOT NULL
        CHECK (state IN ('pending', 'sending', 'accepted', 'failed', 'ambiguous')),
    attempts         integer  NOT NULL DEFAULT 0,
    doubtful         boolean  NOT NULL DEFAULT false,
    reason           text,
    provider_id      text,
    command          bytea,
    source_partition integer  NOT NULL,
    source_offset    bigint   NOT NULL,
    decided_at       bigint   NOT NULL,
    read_at          bigint   NOT NULL,
    next_attempt_at  bigint   NOT NULL,
    lease_until      bigint   NOT NULL DEFAULT 0,
    finished_at      bigint,
    reported_at      bigint
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
)
"""

INDEXES = (
    """CREATE INDEX sends_due ON dispatcher.sends (queue, rank, next_attempt_at)
       WHERE state = 'pending'""",
    """CREATE INDEX sends_leased ON dispatcher.sends (lease_until) WHERE state = 'sending'""",
    """CREATE INDEX sends_unreported ON dispatcher.sends (lease_until)
       WHERE reported_at IS NULL AND state IN ('accepted', 'failed', 'ambiguous')""",
    """CREATE INDEX sends_given_up ON dispatcher.sends (state)
       WHERE state IN ('failed', 'ambiguous')""",
    """CREATE INDEX sends_person ON dispatcher.sends (person)""",
    """CREATE INDEX sends_read ON dispatcher.sends USING brin (read_at)""",
)


def upgrade() -> None:
    """Make the ledger."""
    op.execute(NOW_MICROS)
    op.execute(SENDS)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    """Drop the ledger and with it the knowledge of what was sent."""
    op.execute("DROP TABLE dispatcher.sends")
    op.execute("DROP FUNCTION dispatcher.now_micros()")
