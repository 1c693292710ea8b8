"""Definitions, their immutable versions, revisions and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "triggers"

REFUSE_CHANGE = f"""
CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'published versions and revisions do not change';
END
$$
"""


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "definitions",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("edit", sa.BigInteger, nullable=False),
        # JSON, not JSONB: numbers and the order of fields stay as they were written.
        sa.Column("draft", sa.JSON),
        sa.Column("published", sa.JSON),
        _at("created_at"),
        _at("updated_at"),
        sa.PrimaryKeyConstraint("kind", "id"),
        sa.CheckConstraint(
            "status IN ('draft', 'live', 'paused', 'archived')", name="definitions_status"
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "revisions",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        _at("published_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "versions",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column(
            "revision", sa.BigInteger, sa.ForeignKey(f"{SCHEMA}.revisions.revision"), nullable=False
        ),
        sa.Column("definition", sa.JSON),
        sa.PrimaryKeyConstraint("kind", "id", "version"),
        schema=SCHEMA,
    )
    op.create_index("versions_revision", "versions", ["revision"], schema=SCHEMA)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("revision", sa.BigInteger, unique=True),
        _at("created_at"),
        _at("done_at", nullable=True),
        schema=SCHEMA,
    )
    op.create_index(
        "outbox_pending",
        "outbox",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.execute(REFUSE_CHANGE)
    for table in ("versions", "revisions"):
        op.execute(
            f"CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON {SCHEMA}.{table} "
            f"FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.refuse_change()"
        )


def downgrade() -> None:
    """Drop the tables: everything marketers wrote goes with them."""
    for table in ("outbox", "versions", "revisions", "definitions"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"DROP FUNCTION {SCHEMA}.refuse_change()")
