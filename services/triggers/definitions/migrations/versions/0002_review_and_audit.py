"""Review of drafts, the append-only audit log, API tokens and kept answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "triggers"

REFUSE_REWRITE = f"""
CREATE FUNCTION {SCHEMA}.refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of the audit log and of published versions is refused', TG_OP;
END
$$
"""

# Each definition that was there before the log begins it, so that the log alone leads to what
# the tables hold.
ADOPT = f"""
INSERT INTO {SCHEMA}.audit
    (at, actor_id, actor_name, actor_role, actor_kind, request_id, action, kind, id, version,
     revision, note, before, after)
SELECT updated_at, 'system', 'cuestream', 'administrator', 'system', 'migration 0002', 'adopted',
    kind, id, nullif(version, 0), nullif(revision, 0), '', NULL,
    json_build_object(
        'kind', kind, 'id', id, 'status', status, 'version', version, 'revision', revision,
        'edit', edit, 'draft', draft, 'published', published,
        'review', json_build_object('authors', '[]'::json, 'submitted', NULL, 'rejected', NULL),
        'created_at', (extract(epoch FROM created_at) * 1000000)::bigint,
        'updated_at', (extract(epoch FROM updated_at) * 1000000)::bigint
    )
FROM {SCHEMA}.definitions ORDER BY revision, kind, id
"""  # noqa: S608


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=nullable)


def upgrade() -> None:
    """Add the tables, and make what must not change unchangeable for every role."""
    _extend_definitions()
    _make_audit()
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text, primary_key=True),
        # SHA-256 of the secret, which itself is not kept.
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("token", sa.JSON, nullable=False),
        _at("last_used_at", nullable=True),
        schema=SCHEMA,
    )
    op.create_table(
        "answers",
        _text("actor"),
        _text("key"),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        _at("claimed_at"),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.JSON),
        sa.Column("body", sa.LargeBinary),
        sa.PrimaryKeyConstraint("actor", "key"),
        schema=SCHEMA,
    )
    op.create_index("answers_claimed", "answers", ["claimed_at"], schema=SCHEMA)
    op.execute(REFUSE_REWRITE)
    for table in ("audit", "versions", "revisions"):
        if table == "audit":
            _refuse(table, "immutable", "UPDATE OR DELETE", "ROW")
        _refuse(table, "no_truncate", "TRUNCATE", "STATEMENT")
        # ALWAYS: also in a session that says it is a replica.
        for name in ("immutable", "no_truncate"):
            op.execute(f"ALTER TABLE {SCHEMA}.{table} ENABLE ALWAYS TRIGGER {name}")


def _refuse(table: str, name: str, events: str, each: str) -> None:
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {events} ON {SCHEMA}.{table} "
        f"FOR EACH {each} EXECUTE FUNCTION {SCHEMA}.refuse_rewrite()"
    )


def _extend_definitions() -> None:
    op.add_column("definitions", sa.Column("review", sa.JSON), schema=SCHEMA)
    op.drop_constraint("definitions_status", "definitions", schema=SCHEMA)
    op.create_check_constraint(
        "definitions_status",
        "definitions",
        "status IN ('draft', 'in_review', 'live', 'paused', 'archived')",
        schema=SCHEMA,
    )


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _at("at"),
        *(_text(name) for name in ("actor_id", "actor_name", "actor_role", "actor_kind")),
        _text("credential", nullable=True),
        *(_text(name) for name in ("request_id", "action", "kind", "id")),
        sa.Column("version", sa.Integer),
        sa.Column("revision", sa.BigInteger),
        _text("note"),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        schema=SCHEMA,
    )
    op.execute(ADOPT)
    for name, columns in (
        ("audit_target", ["kind", "id", "number"]),
        ("audit_actor", ["actor_id", "number"]),
        ("audit_action", ["action", "number"]),
        ("audit_request", ["request_id"]),
    ):
        op.create_index(name, "audit", columns, schema=SCHEMA)


def downgrade() -> None:
    """Drop them again: the log, tokens and reviews go; what is in force stays."""
    for table in ("versions", "revisions"):
        op.execute(f"DROP TRIGGER no_truncate ON {SCHEMA}.{table}")
    for table in ("audit", "api_tokens", "answers"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"DROP FUNCTION {SCHEMA}.refuse_rewrite()")
    statuses = sa.table("definitions", sa.column("status", sa.Text), schema=SCHEMA)
    op.execute(statuses.update().where(statuses.c.status == "in_review").values(status="draft"))
    op.drop_constraint("definitions_status", "definitions", schema=SCHEMA)
    op.create_check_constraint(
        "definitions_status",
        "definitions",
        "status IN ('draft', 'live', 'paused', 'archived')",
        schema=SCHEMA,
    )
    op.drop_column("definitions", "review", schema=SCHEMA)
