"""The in-app inbox: messages that stay until the app fetches them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.time import DAY, Micros
from services.dispatcher.ledger import place_of
from services.runtime.database import transient_errors
from services.runtime.sealing import Keyring

ITEMS_MAX: Final = 100
READ_TOGETHER_MAX: Final = 100
PRUNE_ROWS_MAX: Final = 10_000
NOTICES: Final = "dispatcher_inbox"
"""Channel of PostgreSQL's NOTIFY on which each new item's person is told."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One message; its id is that of the send. `seq` grows; instants in microseconds."""

    message_id: str
    seq: int
    trigger: str
    category: str
    title: str
    body: str
    created_at: Micros
    expires_at: Micros | None
    read_at: Micros | None


# The notice is sent when the transaction commits, so whoever hears it finds the item.
_PUT: Final = text("""
WITH made AS (
    INSERT INTO dispatcher.inbox
        (message_id, person, trigger, category, title, body, created_at, expires_at)
    VALUES (CAST(:message_id AS uuid), :person, :trigger, :category, :title, :body,
        dispatcher.now_micros(), CAST(:expires_at AS bigint))
    ON CONFLICT (message_id) DO NOTHING
    RETURNING person
)
SELECT pg_notify(:notices, names.person)
FROM made CROSS JOIN LATERAL dispatcher.names_of(made.person) AS names(person)
""")
_LIST: Final = text("""
SELECT CAST(message_id AS text) AS message_id, seq, trigger, category, title, body, created_at,
    expires_at, read_at
FROM dispatcher.inbox
WHERE person = ANY(ARRAY(SELECT dispatcher.names_of(:person))) AND seq < :before
  AND (expires_at IS NULL OR expires_at > dispatcher.now_micros())
  AND (NOT :unread OR read_at IS NULL)
ORDER BY seq DESC LIMIT :limit
""")
_UNREAD: Final = text("""
SELECT count(*) FROM dispatcher.inbox
WHERE person = ANY(ARRAY(SELECT dispatcher.names_of(:person))) AND read_at IS NULL
  AND (expires_at IS NULL OR expires_at > dispatcher.now_micros())
""")
_READ: Final = text("""
UPDATE dispatcher.inbox SET read_at = dispatcher.now_micros()
WHERE person = ANY(ARRAY(SELECT dispatcher.names_of(:person)))
  AND message_id = ANY(CAST(:ids AS uuid[])) AND read_at IS NULL
RETURNING CAST(message_id AS text) AS message_id, trigger, category
""")
_PRUNE: Final = text("""
DELETE FROM dispatcher.inbox WHERE message_id IN (
    SELECT message_id FROM dispatcher.inbox
    WHERE created_at < dispatcher.now_micros() - CAST(:age AS bigint) LIMIT :limit)
""")
_LAST: Final = 2**63 - 1


class ReadItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item that was just read for the first time."""

    message_id: str
    trigger: str
    category: str


class InboxStore:
    """The table of the inbox. Each method raises `Transient` while the database is away.

    Whoever turned out to be another has one inbox with them, under each of their names. Texts
    are kept sealed where `keys` has any; one that cannot be opened raises `Unopened`.
    """

    def __init__(self, engine: AsyncEngine, keys: Keyring | None = None) -> None:
        self._engine = engine
        self._keys = Keyring("") if keys is None else keys

    async def put(
        self,
        *,
        message_id: str,
        person: str,
        trigger: str,
        category: str,
        title: str,
        body: str,
        expires_at: Micros | None,
    ) -> None:
        """Keep a message, if it was not kept before, and wake who waits for it."""
        values: dict[str, Any] = {
            "message_id": message_id,
            "person": person,
            "trigger": trigger,
            "category": category,
            "title": self._keys.seal_text(title.replace("\0", ""), place_of(message_id)),
            "body": self._keys.seal_text(body.replace("\0", ""), place_of(message_id)),
            "expires_at": expires_at,
            "notices": NOTICES,
        }
        with transient_errors():
            async with self._engine.begin() as connection:
                await connection.execute(_PUT, values)

    async def of_person(
        self, person: str, *, unread: bool = False, before: int = _LAST, limit: int = ITEMS_MAX
    ) -> list[Item]:
        """A person's messages that have not expired, the newest first; `before` pages on."""
        values = {
            "person": person,
            "unread": unread,
            "before": before,
            "limit": min(limit, ITEMS_MAX),
        }
        with transient_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_LIST, values)).mappings().all()
        return [Item(**{**row, **self._texts(row)}) for row in rows]

    def _texts(self, row: Any) -> dict[str, str]:
        id_ = row["message_id"]
        return {
            name: self._keys.open_text(row[name], place_of(id_), f"message {id_}")
            for name in ("title", "body")
        }

    async def unread(self, person: str) -> int:
        """How many of a person's messages are not read and have not expired."""
        with transient_errors():
            async with self._engine.connect() as connection:
                return int((await connection.execute(_UNREAD, {"person": person})).scalar_one())

    async def mark_read(self, person: str, ids: Sequence[str]) -> list[ReadItem]:
        """Mark a person's messages as read; returns those that were not before."""
        with transient_errors():
            async with self._engine.begin() as connection:
                found = await connection.execute(
                    _READ, {"person": person, "ids": list(ids)[:READ_TOGETHER_MAX]}
                )
                return [ReadItem(**row) for row in found.mappings()]

    async def prune(self, days: int) -> int:
        """Forget messages older than `days`, some at a time; returns how many."""
        with transient_errors():
            async with self._engine.begin() as connection:
                done = await connection.execute(
                    _PRUNE, {"age": days * DAY, "limit": PRUNE_ROWS_MAX}
                )
        return done.rowcount
