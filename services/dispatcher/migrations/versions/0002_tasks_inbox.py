"""Tasks handed to people, and the in-app inbox."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Both are named after the send that made them, so making them again changes nothing.
# All instants are microseconds since the epoch.
TASKS = """
CREATE TABLE dispatcher.tasks (
    task_id    uuid   PRIMARY KEY,
    person     text   NOT NULL,
    trigger    text   NOT NULL,
    team       text   NOT NULL,
    title      text   NOT NULL,
    body       text   NOT NULL,
    created_at bigint NOT NULL,
    done_at    bigint,
    done_by    text
)
"""
INBOX = """
CREATE TABLE dispatcher.inbox (
    message_id uuid   PRIMARY KEY,
    seq        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    person     text   NOT NULL,
    trigger    text   NOT NULL,
    category   text   NOT NULL,
    title      text   NOT NULL,
    body       text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    read_at    bigint
)
"""
INDEXES = (
    "CREATE INDEX tasks_open ON dispatcher.tasks (team, created_at) WHERE done_at IS NULL",
    "CREATE INDEX tasks_person ON dispatcher.tasks (person, created_at)",
    "CREATE INDEX inbox_person ON dispatcher.inbox (person, seq)",
    "CREATE INDEX inbox_created ON dispatcher.inbox USING brin (created_at)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in (TASKS, INBOX, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with what they hold."""
    op.execute("DROP TABLE dispatcher.tasks")
    op.execute("DROP TABLE dispatcher.inbox")
