"""Profiles in PostgreSQL: one statement a batch, newer wins inside the database."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.contracts.time import HOUR
from services.profile_store.jsonb import from_jsonb, from_text, to_jsonb, to_text
from services.profile_store.limits import problem_of
from services.profile_store.lookups import Lookups
from services.profile_store.profiles import TagFilter, Written, newest
from services.runtime.database import transient_errors

SCHEMA: Final = "profile_store"
DATA_SQLSTATES: Final = ("22", "23", "54")
"""Beginnings of the codes that blame the data: data exception, constraint, program limit."""

NOTICED_MAX: Final = 32
"""Profiles of a batch that are looked at for the tags that changed in them."""
NOTICED_EVERY: Final = HOUR
"""A tag that changed is written down no more often."""

_TYPES: Final = {
    "person": "text",
    "user_id": "text",
    "anonymous_id": "text",
    "as_of": "bigint",
    "source_partition": "int",
    "source_offset": "bigint",
    "revision": "bigint",
    "first_seen_at": "bigint",
    "last_seen_at": "bigint",
    "messages_accepted": "bigint",
    "messages_failed": "bigint",
    "last_message_at": "bigint",
    "merged_into": "text",
    "segments": "text[]",
    "approximate": "jsonb",
    "consents": "jsonb",
    "traits": "jsonb",
    "tags": "jsonb",
}
"""Columns of the table; JSON travels as text, a list of segments as one with commas."""


def _value(name: str, type_: str) -> str:
    if type_ == "text[]":
        return f"string_to_array(given.{name}, ',')"
    return f"CAST(given.{name} AS {type_})"


def _put_statement() -> TextClause:
    """One INSERT from one array a column: as fast as COPY and a merge, in one round trip.

    The rows as they were are read, and locked, before they are replaced: what has become
    another value in those that are is history. A person's first snapshot changes nothing, but
    that the proof of each consent is kept for good.
    That tags still change at all is noticed in the first few of them; see `tag_changes`.
    """
    names = ", ".join(_TYPES)
    travels = {
        name: "text" if type_ in ("jsonb", "text[]") else type_ for name, type_ in _TYPES.items()
    }
    arrays = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in travels.items())
    values = ", ".join(_value(name, type_) for name, type_ in _TYPES.items())
    changes = ", ".join(f"{name} = excluded.{name}" for name in _TYPES if name != "person")
    return text(f"""
WITH given AS (SELECT * FROM unnest({arrays}) AS given ({names})),
before AS (
    SELECT stored.person, stored.tags, stored.segments, stored.consents
    FROM profile_store.profiles AS stored JOIN given USING (person) FOR UPDATE OF stored
),
written AS (
    INSERT INTO profile_store.profiles AS stored ({names})
    SELECT {values} FROM given LEFT JOIN before ON before.person = given.person
    ON CONFLICT (person) DO UPDATE SET {changes}
    WHERE (excluded.as_of, excluded.source_offset) > (stored.as_of, stored.source_offset)
    RETURNING person, as_of, tags, segments, consents, merged_into
),
changed AS (
    SELECT person, written.as_of, before.tags AS old_tags, written.tags AS new_tags,
        before.segments AS old_segments, written.segments AS new_segments
    FROM written JOIN before USING (person) WHERE written.merged_into IS NULL
),
told AS (
    INSERT INTO profile_store.history (person, kind, name, at, value)
    SELECT person, 'tag', name, as_of, new_tags -> name
    FROM changed, unnest(CAST(:discrete AS text[])) AS name
    WHERE NULLIF(old_tags -> name, 'null') IS DISTINCT FROM NULLIF(new_tags -> name, 'null')
    UNION ALL
    SELECT person, 'segment', name, as_of, 'true' FROM changed, unnest(new_segments) AS name
    WHERE name <> ALL (old_segments)
    UNION ALL
    SELECT person, 'segment', name, as_of, 'false' FROM changed, unnest(old_segments) AS name
    WHERE name <> ALL (new_segments)
    UNION ALL
    SELECT person, 'consent', name, written.as_of, value
    FROM written LEFT JOIN before USING (person),
        jsonb_each(written.consents) AS proof (name, value)
    WHERE (before.consents -> name) IS DISTINCT FROM value
    ON CONFLICT (person, kind, name, at) DO UPDATE SET value = excluded.value
),
looked_at AS (
    SELECT written.as_of, before.tags AS old_tags, written.tags AS new_tags
    FROM written LEFT JOIN before USING (person)
    WHERE written.merged_into IS NULL LIMIT {NOTICED_MAX}
),
noticed AS (
    INSERT INTO profile_store.tag_changes AS known (name, since, at)
    SELECT name, max(as_of), max(as_of) FROM looked_at, jsonb_each(new_tags) AS tag (name, value)
    WHERE CASE WHEN old_tags IS NULL THEN value NOT IN ('null', '0', '[]')
        ELSE NULLIF(old_tags -> name, 'null') IS DISTINCT FROM NULLIF(value, 'null') END
        AND NOT EXISTS (
            SELECT FROM profile_store.tag_changes AS known
            WHERE known.name = tag.name AND known.at > as_of - {NOTICED_EVERY}
        )
    GROUP BY name ORDER BY name
    ON CONFLICT (name) DO UPDATE SET at = greatest(known.at, excluded.at)
)
SELECT count(*) FROM written
""")  # noqa: S608  (only our own column names)


_PUT: Final = _put_statement()
SHOWN: Final = ", ".join(
    f"CAST({name} AS text) AS {name}" if type_ == "jsonb" else name
    for name, type_ in _TYPES.items()
)
"""The columns as `profile_of` reads them."""

_FROM: Final = f"SELECT {SHOWN} FROM profile_store.profiles"  # noqa: S608  (our names)
_GET: Final = (
    f"{_FROM} WHERE person = $1",
    f"{_FROM} WHERE anonymous_id = $1 ORDER BY as_of DESC, person DESC LIMIT 1",
)


class PostgresProfiles:
    """The port over one table; see the migrations for it and its indexes.

    `discrete` names the tags whose history is kept, as they are now. `lookups` are for single
    profiles, where they keep connections of their own.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        discrete: Callable[[], Sequence[str]] = tuple,
        lookups: Lookups | None = None,
    ) -> None:
        self._engine = engine
        self._discrete = discrete
        self._lookups = lookups or Lookups(engine)

    async def put(self, batch: Sequence[Profile]) -> Written:
        """See the port."""
        for profile in batch:
            problem = problem_of(profile)
            if problem is not None:
                raise Malformed("unstorable", problem)
        columns = {**_columns(newest(batch)), "discrete": list(self._discrete())}
        try:
            with transient_errors():
                async with self._engine.begin() as connection:
                    written = (await connection.execute(_PUT, columns)).scalar_one()
        except DBAPIError as error:
            code = str(getattr(error.orig, "sqlstate", None) or "")
            if not code.startswith(DATA_SQLSTATES):
                raise
            raise Malformed("unstorable", f"PostgreSQL refuses it with {code}") from error
        return Written(written=written, stale=len(batch) - written)

    async def get(self, id_: str) -> Profile | None:
        """See the port."""
        row = await self._lookups.first(_GET, to_text(id_))
        return None if row is None else profile_of(row)

    async def find(self, where: TagFilter, *, limit: int, after: str | None) -> list[Profile]:
        """See the port."""
        return await self._rows(*find_query(where, limit=limit, after=after))

    async def _rows(self, query: TextClause, parameters: dict[str, Any]) -> list[Profile]:
        with transient_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(query, parameters)
                return [profile_of(row._mapping) for row in found]  # noqa: SLF001


def find_query(
    where: TagFilter, *, limit: int, after: str | None
) -> tuple[TextClause, dict[str, Any]]:
    """The statement behind `find`, and its parameters."""
    condition, parameters = _condition(where)
    if after is not None:
        condition += " AND person > :after"
        parameters["after"] = to_text(after)
    query = (
        f"SELECT {SHOWN} FROM profile_store.profiles WHERE {condition}"  # noqa: S608
        " ORDER BY person LIMIT :limit"
    )
    return text(query), {**parameters, "limit": limit}


def _condition(where: TagFilter) -> tuple[str, dict[str, Any]]:
    # Operators that the index on `tags` serves; functions of the same meaning are not.
    if where.op == "eq":
        clauses = []
        parameters: dict[str, Any] = {}
        for number, value in enumerate(where.values):
            clauses.append(f"tags @> CAST(:value{number} AS jsonb)")
            parameters[f"value{number}"] = to_jsonb({where.tag: value})
        return f"({' OR '.join(clauses)})", parameters
    sign = ">=" if where.op == "gte" else "<="
    tag, bound = msgspec.json.encode(where.tag).decode(), msgspec.json.encode(where.values[0])
    # Strict: a lax path would look into lists. The index does not serve strict paths, but
    # whether the tag is there.
    path = f"strict $.{tag} ? (@ {sign} {bound.decode()})"
    condition = "tags ? CAST(:tag AS text) AND tags @? CAST(:path AS jsonpath)"
    return condition, {"tag": where.tag, "path": path}


def _columns(batch: Sequence[Profile]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for name, type_ in _TYPES.items():
        values = [getattr(profile, name) for profile in batch]
        if type_ == "jsonb":
            values = [to_jsonb(value) for value in values]
        elif type_ == "text":
            values = [None if value is None else to_text(value) for value in values]
        elif type_ == "text[]":
            values = [",".join(value) for value in values]
        columns[name] = values
    return columns


def profile_of(row: Mapping[Any, Any]) -> Profile:
    """The profile of a row of `SHOWN` columns."""
    fields = dict(row)
    for name, type_ in _TYPES.items():
        value = fields[name]
        if value is not None and type_ == "jsonb":
            fields[name] = from_jsonb(value)
        elif value is not None and type_ == "text":
            fields[name] = from_text(value)
    return msgspec.convert(fields, Profile)
