"""Sealing again what the dispatcher keeps: commands that are not told yet, messages and tasks."""

from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatcher.ledger import opened, place_of
from services.runtime.database import transient_errors
from services.runtime.sealing import Keyring, Resealed, Unopened

PAGE: Final = 500
_FIRST: Final = "00000000-0000-0000-0000-000000000000"

_SENDS: Final = text("""
SELECT CAST(send_id AS text) AS id, command FROM dispatcher.sends
WHERE command IS NOT NULL AND send_id > CAST(:after AS uuid) ORDER BY send_id LIMIT :limit
""")
# What has changed meanwhile was sealed with the first key already, or is there no more.
_PUT_SENDS: Final = text("""
UPDATE dispatcher.sends AS s SET command = g.put
FROM unnest(CAST(:id AS uuid[]), CAST(:was AS bytea[]), CAST(:put AS bytea[])) AS g (id, was, put)
WHERE s.send_id = g.id AND s.command = g.was
""")
_TEXTS: Final = """
SELECT CAST({key} AS text) AS id, title, body FROM dispatcher.{table}
WHERE {key} > CAST(:after AS uuid) ORDER BY {key} LIMIT :limit
"""
_PUT_TEXTS: Final = """
UPDATE dispatcher.{table} AS t SET title = g.title, body = g.body
FROM unnest(CAST(:id AS uuid[]), CAST(:title AS text[]), CAST(:body AS text[]))
    AS g (id, title, body)
WHERE t.{key} = g.id
"""
_TABLES: Final = (("inbox", "message_id"), ("tasks", "task_id"))


async def reseal(engine: AsyncEngine, keys: Keyring) -> Resealed:
    """Go through all three tables; it may be broken off and begun again.

    Raises:
        Transient: the database is away or busy.
    """
    done = await _through(engine, keys, _SENDS, _PUT_SENDS, _command)
    for table, key in _TABLES:
        found, put = (text(sql.format(table=table, key=key)) for sql in (_TEXTS, _PUT_TEXTS))
        done += await _through(engine, keys, found, put, _text)
    return done


async def _through(engine: AsyncEngine, keys: Keyring, find: Any, put: Any, again: Any) -> Resealed:
    done, after = Resealed(), _FIRST
    while True:
        changed: list[dict[str, Any]] = []
        unopened = 0
        with transient_errors():
            async with engine.begin() as connection:
                rows = (await connection.execute(find, {"after": after, "limit": PAGE})).all()
                for row in rows:
                    try:
                        one = again(row, keys)
                    except Unopened:
                        unopened += 1
                    else:
                        changed += [] if one is None else [one]
                if changed:
                    columns = {name: [one[name] for one in changed] for name in changed[0]}
                    await connection.execute(put, columns)
        done += Resealed(looked_at=len(rows), sealed=len(changed), unopened=unopened)
        if len(rows) < PAGE:
            return done
        after = rows[-1].id


def _command(row: Any, keys: Keyring) -> dict[str, Any] | None:
    if not keys.is_old_frame(row.command):
        return None
    command = opened(row.command, row.id, keys)
    return {"id": row.id, "was": row.command, "put": keys.seal_bytes(command, place_of(row.id))}


def _text(row: Any, keys: Keyring) -> dict[str, Any] | None:
    place = place_of(row.id)
    if not keys.is_old_text(row.title) and not keys.is_old_text(row.body):
        return None
    title, body = (keys.open_text(given, place) for given in (row.title, row.body))
    return {
        "id": row.id,
        "title": keys.seal_text(title, place),
        "body": keys.seal_text(body, place),
    }
