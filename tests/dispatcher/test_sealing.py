"""What the dispatcher keeps of a send is sealed, works as before, and can be sealed again."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.time import SECOND
from services.dispatcher.commands import read_command
from services.dispatcher.inbox import InboxStore
from services.dispatcher.ledger import Claim, Ledger, NewSend, Result
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.policy import SendState
from services.dispatcher.resealing import reseal
from services.dispatcher.tasks import Task, TaskStore
from services.runtime.database import make_engine
from services.runtime.sealing import Keyring, MissingKey, Resealed
from services.runtime.settings import DatabaseSettings
from tests.dispatcher.support import a_command, a_send_id

pytestmark = pytest.mark.embedded

OLD, NEW = (f"k{n}:{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
ADDRESS = "ann@shop.example"


@pytest.fixture
async def engine(ledger_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections to an empty ledger."""
    engine = make_engine(DatabaseSettings(database_url=SecretStr(ledger_url)))
    yield engine
    await engine.dispose()


def ledger(engine: AsyncEngine, keys: str, *, lease: int = 60 * SECOND) -> Ledger:
    return Ledger(engine, lease_micros=lease, keys=Keyring(keys))


def new(number: int) -> NewSend:
    value = encode_json(a_command(number, to=ADDRESS))
    return read_command(value, partition=0, offset=number, queues={"log"})


def given_up(claim: Claim) -> Result:
    return Result(
        send_id=claim.send_id,
        attempts=claim.attempts,
        state=SendState.FAILED,
        doubtful=False,
        bound=False,
        reason="refused",
        provider_id=None,
        wait_micros=0,
        finished_at=1,
    )


async def dump(engine: AsyncEngine) -> str:
    """All rows of the three tables, bytes as text where they are."""
    found = ""
    async with engine.connect() as connection:
        for table in ("inbox", "tasks"):
            rows = await connection.execute(
                text(f"SELECT CAST(t AS text) FROM dispatcher.{table} t")
            )
            found += "".join(row[0] for row in rows)
        rows = await connection.execute(text("SELECT command FROM dispatcher.sends"))
        found += "".join((row[0] or b"").decode("latin-1") for row in rows)
    return found


async def everything(engine: AsyncEngine, keys: str) -> Any:
    """What stands there, as it is served with these keys."""
    ring = Keyring(keys)
    claims = await ledger(engine, keys, lease=-1).interrupted(10)
    messages = await InboxStore(engine, ring).of_person("ann")
    tasks = await TaskStore(engine, ring).listed(team=None, person=None, done=True)
    return (
        sorted(claim.command for claim in claims),
        [(message.title, message.body) for message in messages],
        [(task.title, task.body) for task in tasks],
    )


async def fill(engine: AsyncEngine, keys: str) -> None:
    """A send under way, a message and a task, all with an address."""
    ring = Keyring(keys)
    await ledger(engine, keys, lease=-1).record([new(1)])
    await ledger(engine, keys, lease=-1).claim("log", "log", 1)
    await InboxStore(engine, ring).put(
        message_id=a_send_id(1), person="ann", trigger="t", category="c",
        title=f"To {ADDRESS}", body=f"Dear {ADDRESS}", expires_at=None,
    )  # fmt: skip
    await TaskStore(engine, ring).put(
        Task(
            task_id=a_send_id(1), person="ann", trigger="t", team="x",
            title=f"Call {ADDRESS}", body=ADDRESS, created_at=1,
        )
    )  # fmt: skip


EXPECTED = (
    [new(1).command],
    [(f"To {ADDRESS}", f"Dear {ADDRESS}")],
    [(f"Call {ADDRESS}", ADDRESS)],
)


async def test_nothing_of_an_address_stands_in_the_tables(engine: AsyncEngine) -> None:
    await fill(engine, OLD)
    assert "shop.example" not in await dump(engine)
    assert await everything(engine, OLD) == EXPECTED


async def test_a_send_that_is_given_up_tells_its_command_and_can_be_replayed(
    engine: AsyncEngine,
) -> None:
    impatient = ledger(engine, OLD, lease=-1)
    await impatient.record([new(1)])
    (claim,) = await impatient.claim("log", "log", 1)
    await impatient.settle([given_up(claim)])
    (untold,) = await impatient.unreported(10)
    assert untold.command == new(1).command
    await impatient.mark_reported([untold])
    assert await LedgerChanges(engine, Keyring(OLD)).replay([new(1)]) == {a_send_id(1)}
    assert "shop.example" not in await dump(engine)
    (claim,) = await impatient.claim("log", "log", 1)
    assert claim.command == new(1).command


async def test_a_missing_key_is_named_and_the_send_stays(engine: AsyncEngine) -> None:
    await fill(engine, OLD)
    for keys in ("", NEW):
        with pytest.raises(MissingKey, match="sealed with key 'k1'"):
            await ledger(engine, keys, lease=-1).interrupted(10)
        with pytest.raises(MissingKey):
            await InboxStore(engine, Keyring(keys)).of_person("ann")
    assert await everything(engine, OLD) == EXPECTED


async def test_what_cannot_be_read_is_not_claimed_and_sent_once_its_key_is_back(
    engine: AsyncEngine,
) -> None:
    await ledger(engine, OLD).record([new(1), new(2)])
    for keys in ("", NEW):
        with pytest.raises(MissingKey):
            await ledger(engine, keys).claim("log", "log", 10)
    assert await ledger(engine, OLD, lease=-1).interrupted(10) == []
    claims = await ledger(engine, OLD).claim("log", "log", 10)
    assert {(claim.command, claim.attempts, claim.doubtful) for claim in claims} == {
        (new(1).command, 1, False), (new(2).command, 1, False),
    }  # fmt: skip


@pytest.mark.parametrize("before", ["", OLD])
async def test_everything_is_sealed_again_with_the_first_key(
    engine: AsyncEngine, before: str
) -> None:
    await fill(engine, before)
    both = Keyring(f"{NEW},{OLD}")
    assert await reseal(engine, both) == Resealed(looked_at=3, sealed=3)
    assert await reseal(engine, both) == Resealed(looked_at=3)
    assert "shop.example" not in await dump(engine)
    assert await everything(engine, NEW) == EXPECTED


async def test_what_no_key_opens_is_counted_and_left(engine: AsyncEngine) -> None:
    await fill(engine, OLD)
    assert await reseal(engine, Keyring(NEW)) == Resealed(looked_at=3, unopened=3)
    assert await everything(engine, OLD) == EXPECTED
