"""Tasks for people: what handoffs leave in the table, and how teams work through them."""

from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import Micros
from services.dispatcher.ledger import place_of
from services.runtime.database import transient_errors
from services.runtime.sealing import Keyring

TASKS_MAX: Final = 200
TITLE_CHARS_MAX: Final = 500
BODY_CHARS_MAX: Final = 20_000


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task; its id is that of the send that made it. Instants in microseconds."""

    task_id: str
    person: str
    trigger: str
    team: str
    title: str
    body: str
    created_at: Micros
    done_at: Micros | None = None
    done_by: str | None = None


_PUT: Final = text("""
INSERT INTO dispatcher.tasks (task_id, person, trigger, team, title, body, created_at)
VALUES (CAST(:task_id AS uuid), :person, :trigger, :team, :title, :body, :created_at)
ON CONFLICT (task_id) DO NOTHING
""")
_COLUMNS: Final = """
SELECT CAST(task_id AS text) AS task_id, person, trigger, team, title, body, created_at,
    done_at, done_by
FROM dispatcher.tasks
"""
_ONE: Final = text(_COLUMNS + "WHERE task_id = :task_id")
_LIST: Final = text(
    _COLUMNS
    + """
WHERE (CAST(:team AS text) IS NULL OR team = :team)
  AND (CAST(:person AS text) IS NULL OR person = :person)
  AND (:done OR done_at IS NULL)
ORDER BY created_at, task_id LIMIT :limit
"""
)
_DONE: Final = text("""
UPDATE dispatcher.tasks SET done_at = dispatcher.now_micros(), done_by = :done_by
WHERE task_id = :task_id AND done_at IS NULL
""")


class TaskStore:
    """The table of tasks. Each method raises `Transient` while the database is away.

    Texts are kept sealed where `keys` has any; one that cannot be opened raises `Unopened`.
    """

    def __init__(self, engine: AsyncEngine, keys: Keyring | None = None) -> None:
        self._engine = engine
        self._keys = Keyring("") if keys is None else keys

    async def put(self, task: Task) -> None:
        """Make it, if it was not made before."""
        values = {name: getattr(task, name) for name in ("task_id", "person", "trigger", "team")}
        values["created_at"] = task.created_at
        place = place_of(task.task_id)
        values["title"] = self._keys.seal_text(_stored(task.title)[:TITLE_CHARS_MAX], place)
        values["body"] = self._keys.seal_text(_stored(task.body)[:BODY_CHARS_MAX], place)
        await self._write(_PUT, values)

    async def find(self, task_id: UUID) -> Task | None:
        """One of them."""
        rows = await self._rows(_ONE, {"task_id": task_id})
        return rows[0] if rows else None

    async def listed(
        self, *, team: str | None, person: str | None, done: bool, limit: int = TASKS_MAX
    ) -> list[Task]:
        """The oldest first, at most `TASKS_MAX`; without `done` the open ones alone."""
        values = {"team": team, "person": person, "done": done, "limit": min(limit, TASKS_MAX)}
        return await self._rows(_LIST, values)

    async def finish(self, task_id: UUID, by: str) -> None:
        """Mark it as done; who was first stays."""
        await self._write(_DONE, {"task_id": task_id, "done_by": by})

    async def _write(self, statement: Any, values: dict[str, Any]) -> None:
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(statement, values)

    async def _rows(self, statement: Any, values: dict[str, Any]) -> list[Task]:
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(statement, values)).mappings().all()
        return [Task(**{**row, **self._texts(row)}) for row in rows]

    def _texts(self, row: Any) -> dict[str, str]:
        id_ = row["task_id"]
        return {
            name: self._keys.open_text(row[name], place_of(id_), f"task {id_}")
            for name in ("title", "body")
        }


def _stored(value: str) -> str:
    return value.replace("\0", "")
