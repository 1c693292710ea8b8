"""Profiles in PostgreSQL: one statement a batch, newer wins inside the database."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.profile_store.jsonb import from_jsonb, from_text, to_jsonb, to_text
from services.profile_store.limits import problem_of
from services.profile_store.profiles import TagFilter, Written, newest
from services.runtime.database import transient_errors

SCHEMA: Final = "profile_store"
DATA_SQLSTATES: Final = ("22", "23", "54")
"""Beginnings of the codes that blame the data: data exception, constraint, program limit."""

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
    "approximate": "jsonb",
    "traits": "jsonb",
    "tags": "jsonb",
}
"""Columns of the table; JSON travels as text."""


def _put_statement() -> TextClause:
    """One INSERT from one array a column: as fast as COPY and a merge, in one round trip."""
    names = ", ".join(_TYPES)
    travels = {name: "text" if type_ == "jsonb" else type_ for name, type_ in _TYPES.items()}
    arrays = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in travels.items())
    values = ", ".join(f"CAST({name} AS {type_})" for name, type_ in _TYPES.items())
    changes = ", ".join(f"{name} = excluded.{name}" for name in _TYPES if name != "person")
    return text(
        f"INSERT INTO profile_store.profiles AS stored ({names})"  # noqa: S608  (our names)
        f" SELECT {values} FROM unnest({arrays}) AS given ({names})"
        f" ON CONFLICT (person) DO UPDATE SET {changes} WHERE"
        " (excluded.as_of, excluded.source_offset) > (stored.as_of, stored.source_offset)"
    )


_PUT: Final = _put_statement()
_SHOWN: Final = ", ".join(
    f"CAST({name} AS text) AS {name}" if type_ == "jsonb" else name
    for name, type_ in _TYPES.items()
)

_GET: Final = text(f"""
SELECT {_SHOWN} FROM profile_store.profiles WHERE person = :id OR anonymous_id = :id
ORDER BY (person = :id) DESC, as_of DESC, person DESC LIMIT 1
""")  # noqa: S608  (only our own column names)


class PostgresProfiles:
    """The port over one table; see the migrations for it and its indexes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put(self, batch: Sequence[Profile]) -> Written:
        """See the port."""
        for profile in batch:
            problem = problem_of(profile)
            if problem is not None:
                raise Malformed("unstorable", problem)
        columns = _columns(newest(batch))
        try:
            with transient_errors():
                async with self._engine.begin() as connection:
                    written = (await connection.execute(_PUT, columns)).rowcount
        except DBAPIError as error:
            code = str(getattr(error.orig, "sqlstate", None) or "")
            if not code.startswith(DATA_SQLSTATES):
                raise
            raise Malformed("unstorable", f"PostgreSQL refuses it with {code}") from error
        return Written(written=written, stale=len(batch) - written)

    async def get(self, id_: str) -> Profile | None:
        """See the port."""
        rows = await self._rows(_GET, {"id": to_text(id_)})
        return rows[0] if rows else None

    async def find(self, where: TagFilter, *, limit: int, after: str | None) -> list[Profile]:
        """See the port."""
        return await self._rows(*find_query(where, limit=limit, after=after))

    async def _rows(self, query: TextClause, parameters: dict[str, Any]) -> list[Profile]:
        with transient_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(query, parameters)
                return [_profile(row) for row in found]


def find_query(
    where: TagFilter, *, limit: int, after: str | None
) -> tuple[TextClause, dict[str, Any]]:
    """The statement behind `find`, and its parameters."""
    condition, parameters = _condition(where)
    if after is not None:
        condition += " AND person > :after"
        parameters["after"] = to_text(after)
    query = (
        f"SELECT {_SHOWN} FROM profile_store.profiles WHERE {condition}"  # noqa: S608
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
        columns[name] = values
    return columns


def _profile(row: Row[Any]) -> Profile:
    fields = dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's documented name)
    for name, type_ in _TYPES.items():
        value = fields[name]
        if value is not None and type_ == "jsonb":
            fields[name] = from_jsonb(value)
        elif value is not None and type_ == "text":
            fields[name] = from_text(value)
    return msgspec.convert(fields, Profile)
