"""People who are others now, and the digest of the address that a mail went to."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# `goes_to` is who they are; themselves, where they are somebody of their own again. Rows come in
# any order, so for a moment some may lead in a ring: then the least name stands for all in it.
MOVED = """
CREATE TABLE dispatcher.moved (
    person   text   PRIMARY KEY,
    goes_to  text   NOT NULL,
    at       bigint NOT NULL,
    noted_at bigint NOT NULL
)
"""
CURRENT_PERSON = """
CREATE FUNCTION dispatcher.current_person(text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE way(person) AS (
        SELECT $1
        UNION
        SELECT m.goes_to FROM way w JOIN dispatcher.moved m ON m.person = w.person
    )
    SELECT coalesce(
        (SELECT w.person FROM way w WHERE NOT EXISTS (
            SELECT FROM dispatcher.moved m WHERE m.person = w.person AND m.goes_to <> m.person)),
        (SELECT min(w.person COLLATE "C") FROM way w))
$$
"""
NAMES_OF = """
CREATE FUNCTION dispatcher.names_of(text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE names(person) AS (
        SELECT dispatcher.current_person($1)
        UNION
        SELECT m.person FROM names n JOIN dispatcher.moved m ON m.goes_to = n.person
    )
    SELECT person FROM names
$$
"""


def upgrade() -> None:
    """Add them; the version before goes on working."""
    for statement in (
        MOVED,
        "CREATE INDEX moved_into ON dispatcher.moved (goes_to)",
        CURRENT_PERSON,
        NAMES_OF,
        "ALTER TABLE dispatcher.sends ADD COLUMN address bytea",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Take them away; messages of people who are others now are theirs no more."""
    op.execute("ALTER TABLE dispatcher.sends DROP COLUMN address")
    op.execute("DROP FUNCTION dispatcher.names_of(text)")
    op.execute("DROP FUNCTION dispatcher.current_person(text)")
    op.execute("DROP TABLE dispatcher.moved")
