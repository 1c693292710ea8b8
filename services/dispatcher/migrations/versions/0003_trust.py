"""Cancels, expiry, providers, rates, addresses and receipts."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# `provider` is who has the attempt that is under way or in doubt, or who accepted; `holder` the
# process that claimed last.
# `attempts_before` are those of before a replay: they fence but do not count.
COLUMNS = """
ALTER TABLE dispatcher.sends
    ADD COLUMN run_id uuid,
    ADD COLUMN expires_at bigint,
    ADD COLUMN provider text,
    ADD COLUMN holder text,
    ADD COLUMN attempts_before integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT sends_state_check,
    ADD CONSTRAINT sends_state_check CHECK (state IN (
        'pending', 'sending', 'accepted', 'failed', 'ambiguous', 'delivered', 'bounced'))
"""

INDEXES = (
    "DROP INDEX dispatcher.sends_unreported",
    """CREATE INDEX sends_unreported ON dispatcher.sends (lease_until)
       WHERE reported_at IS NULL AND state NOT IN ('pending', 'sending')""",
    """CREATE INDEX sends_expiring ON dispatcher.sends (expires_at)
       WHERE state = 'pending' AND expires_at IS NOT NULL""",
    """CREATE INDEX sends_provider_id ON dispatcher.sends (provider_id)
       WHERE provider_id IS NOT NULL""",
)

# Ids of sends and of runs; they stay as long as the ledger remembers, for commands that come later.
CANCELS = """
CREATE TABLE dispatcher.cancels (
    id     uuid   PRIMARY KEY,
    reason text   NOT NULL,
    at     bigint NOT NULL
)
"""

# Token buckets that all processes draw from; a lost one is a full one.
BUCKETS = """
CREATE UNLOGGED TABLE dispatcher.buckets (
    name      text             PRIMARY KEY,
    tokens    double precision NOT NULL,
    filled_at bigint           NOT NULL
) WITH (fillfactor = 10)
"""

# An address is kept as a digest only.
ADDRESSES = """
CREATE TABLE dispatcher.addresses (
    digest        bytea    PRIMARY KEY,
    channel       text     NOT NULL,
    failures      integer  NOT NULL,
    blocked_until bigint,
    reason        text     NOT NULL,
    at            bigint   NOT NULL
)
"""


def upgrade() -> None:
    """Add them; the version before goes on working."""
    op.execute(COLUMNS)
    for statement in (*INDEXES, CANCELS, BUCKETS, ADDRESSES):
        op.execute(statement)


def downgrade() -> None:
    """Take them away; delivered and bounced sends count as accepted again."""
    op.execute(
        "UPDATE dispatcher.sends SET state = 'accepted' WHERE state IN ('delivered', 'bounced')"
    )
    op.execute("DROP INDEX dispatcher.sends_unreported")
    op.execute("DROP INDEX dispatcher.sends_expiring")
    op.execute("DROP INDEX dispatcher.sends_provider_id")
    op.execute("""
        ALTER TABLE dispatcher.sends
            DROP COLUMN run_id, DROP COLUMN expires_at, DROP COLUMN provider,
            DROP COLUMN holder,
            DROP COLUMN attempts_before, DROP CONSTRAINT sends_state_check,
            ADD CONSTRAINT sends_state_check CHECK (state IN (
                'pending', 'sending', 'accepted', 'failed', 'ambiguous'))""")
    op.execute("""
        CREATE INDEX sends_unreported ON dispatcher.sends (lease_until)
        WHERE reported_at IS NULL AND state IN ('accepted', 'failed', 'ambiguous')""")
    for table in ("cancels", "buckets", "addresses"):
        op.execute(f"DROP TABLE dispatcher.{table}")
