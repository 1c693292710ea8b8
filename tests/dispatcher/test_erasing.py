"""Erasing a person: what waits does not go out, and what was sent is nobody's any more."""

import pytest
from sqlalchemy import text

from services.contracts.codec import encode_json
from services.contracts.command import Erased
from services.contracts.topics import KIND_ERASED
from services.dispatcher.channels.port import Delayed
from services.dispatcher.erasing import erasures_of
from services.dispatcher.inbox import InboxStore
from tests.dispatcher.support import DECIDED_AT, ScriptedChannel, Stage, a_command, a_send_id, until

pytestmark = pytest.mark.embedded

LATER = Delayed(reason="busy", retry_after_seconds=3600)


def erased(number: int) -> Erased:
    """Whom that command is for."""
    return Erased(person=f"person-{number}", request="r1", at=DECIDED_AT + 10)


async def told(stage: Stage, number: int) -> None:
    """Until so many deliveries stand on the log."""

    async def enough() -> bool:
        return len(await stage.deliveries()) >= number

    await until(enough, f"{number} deliveries")


async def tables_with(stage: Stage, person: str) -> set[str]:
    """The tables of the dispatcher that hold a person's id, but for that of receipts."""
    async with stage.engine.connect() as connection:
        tables = await connection.execute(
            text(
                "SELECT table_name FROM information_schema.columns WHERE table_schema ="
                " 'dispatcher' AND column_name = 'person' AND table_name <> 'erasures'"
            )
        )
        found = set()
        for (name,) in tables.all():
            query = text(f"SELECT count(*) FROM dispatcher.{name} WHERE person = :person")
            if (await connection.execute(query, {"person": person})).scalar_one():
                found.add(name)
    return found


async def test_what_waits_for_them_is_taken_back_without_a_letter(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: LATER)
    await stage.produce(a_command(number) for number in (1, 2))
    async with stage.dispatching({"log": channel}):

        async def both_wait() -> bool:
            return len(channel.sent) >= 2 and (await stage.reader.counts())["pending"] == 2

        await until(both_wait, "two waiting sends")
        await stage.produce([encode_json(erased(1))], kind=KIND_ERASED)
        counts = await stage.settled(1)
    assert (counts["failed"], counts["pending"]) == (1, 1)
    (told,) = await stage.deliveries()
    assert (told.send_id, told.status, told.reason) == (a_send_id(1), "failed", "cancelled")
    assert await stage.dead_letters() == []
    assert await erasures_of(stage.engine).receipts("r1")


async def test_of_what_was_sent_the_ledger_keeps_that_and_not_to_whom(stage: Stage) -> None:
    channel = ScriptedChannel()
    await stage.produce(a_command(number) for number in (1, 2))
    async with stage.dispatching({"log": channel}):
        await stage.settled(2)
        await told(stage, 2)
        await InboxStore(stage.engine).put(
            message_id=a_send_id(1), person="person-1", trigger="t", category="marketing",
            title="hello", body="there", expires_at=None,
        )  # fmt: skip
        await stage.produce([encode_json(erased(1))], kind=KIND_ERASED)

        async def gone() -> bool:
            return not await tables_with(stage, "person-1")

        await until(gone, "the erasure")
        # The same command once more: its effect was, and is not done again.
        await stage.produce([a_command(1)])
        await told(stage, 3)
    assert len(channel.sent) == 2
    assert await tables_with(stage, "person-2") == {"sends"}
    (receipt,) = await erasures_of(stage.engine).receipts("r1")
    assert receipt.deleted["sends_without_person"] == 1
    assert receipt.deleted["inbox"] == 1
