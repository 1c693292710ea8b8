"""People who turned out to be others: their messages are there under every name of theirs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import permutations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.command import Moved
from services.contracts.errors import Malformed
from services.contracts.topics import KIND_MOVED
from services.dispatcher.channels.inbox import InboxChannel
from services.dispatcher.commands import decode_moved
from services.dispatcher.inbox import InboxStore
from services.dispatcher.inbox_api import stream_of
from services.dispatcher.inbox_stream import InboxStreams
from services.dispatcher.moves import Moves
from services.dispatcher.settings import DispatcherSettings
from services.runtime.clock import WallClock
from services.runtime.database import make_engine
from tests.dispatcher.support import Stage, a_message, until
from tests.engine.build import trigger
from tests.engine.people import people_of

RING = [
    Moved(person="ann", into="bob", at=1),
    Moved(person="bob", into="cat", at=2),
    Moved(person="cat", into="ann", at=3),
    Moved(person="ann", into="ann", at=4),
]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"{}",
        encode_json(Moved(person="", into="b", at=1)),
        encode_json(Moved(person="a", into="b\0", at=1)),
        encode_json(Moved(person="a", into="b" * 257, at=1)),
        encode_json(Moved(person="a", into="b", at=-1)),
        encode_json(Moved(v=2, person="a", into="b", at=1)),
    ],
)
def test_a_record_that_moves_nobody_is_malformed(value: bytes | None) -> None:
    with pytest.raises(Malformed):
        decode_moved(value)


@pytest.fixture
async def engine(settings: DispatcherSettings) -> AsyncIterator[AsyncEngine]:
    made = make_engine(settings)
    yield made
    await made.dispose()


async def kept(engine: AsyncEngine, *people: str) -> None:
    """A message for each of them."""
    channel = InboxChannel(InboxStore(engine))
    for number, person in enumerate(people):
        await channel.send(a_message(number, channel="inbox", person=person, subject=person))


async def titles(engine: AsyncEngine, person: str) -> list[str]:
    """Of all messages under a name."""
    return sorted(item.title for item in await InboxStore(engine).of_person(person))


async def current(engine: AsyncEngine, person: str) -> str:
    """Whom they are by the table."""
    async with engine.connect() as connection:
        asked = text("SELECT dispatcher.current_person(:person)")
        return str((await connection.execute(asked, {"person": person})).scalar_one())


@pytest.mark.embedded
async def test_messages_follow_a_chain_and_stay_there_under_the_old_name(
    engine: AsyncEngine,
) -> None:
    await kept(engine, "ann", "bob", "cat", "dan")
    moves = Moves(engine)
    await moves.note([Moved(person="bob", into="cat", at=5), Moved(person="ann", into="bob", at=4)])
    for name in ("ann", "bob", "cat"):
        assert await titles(engine, name) == ["ann", "bob", "cat"]
    assert await titles(engine, "dan") == ["dan"]
    store = InboxStore(engine)
    assert await store.unread("cat") == 3
    ids = [item.message_id for item in await store.of_person("cat")]
    assert len(await store.mark_read("cat", ids)) == 3
    assert [await store.unread(name) for name in ("ann", "cat", "dan")] == [0, 0, 1]


@pytest.mark.embedded
@pytest.mark.parametrize("order", list(permutations(RING))[::5])
async def test_a_ring_comes_to_the_same_end_in_whatever_order_it_is_told(
    engine: AsyncEngine, order: Sequence[Moved]
) -> None:
    await kept(engine, "ann", "bob", "cat")
    for moved in order:
        await Moves(engine).note([moved])
        await Moves(engine).note([moved])
    for name in ("ann", "bob", "cat"):
        assert await current(engine, name) == "ann"
        assert await titles(engine, name) == ["ann", "bob", "cat"]


@pytest.mark.embedded
async def test_the_latest_of_one_person_holds_and_old_ones_are_forgotten(
    engine: AsyncEngine,
) -> None:
    moves = Moves(engine)
    await moves.note([Moved(person="ann", into="bob", at=7), Moved(person="ann", into="cat", at=3)])
    await moves.note([Moved(person="ann", into="dan", at=6)])
    assert await current(engine, "ann") == "bob"
    assert await moves.prune(1) == 0
    assert await moves.prune(-1) == 1
    assert await current(engine, "ann") == "ann"


@pytest.mark.embedded
async def test_what_comes_late_under_the_old_name_wakes_who_listens_under_the_new_one(
    engine: AsyncEngine,
) -> None:
    streams, stop = InboxStreams(), asyncio.Event()
    running = asyncio.create_task(streams.run(engine, stop))
    await Moves(engine).note([Moved(person="ann", into="bob", at=1)])
    frames = stream_of(InboxStore(engine), streams, "bob", None)
    assert await anext(frames) == b"retry: 3000\n\n"
    coming = asyncio.ensure_future(anext(frames))
    await kept(engine, "ann")
    assert b'"title":"ann"' in await asyncio.wait_for(coming, 10)
    await frames.aclose()  # type: ignore[attr-defined]
    stop.set()
    await running


@pytest.mark.embedded
async def test_what_the_fold_says_of_a_merge_reaches_the_inbox(stage: Stage) -> None:
    """The engine's own commands and notices, as a worker writes them."""
    inbox = {"send": {"channel": "inbox", "content": {"subject": "hello"}}}
    people = people_of(trigger("t", entry={"events": ["cart"]}, steps=[inbox]))
    people.now = WallClock().stamp(None)  # or the dispatcher finds all of it expired
    people.event("ann", "cart")
    people.alias("bob", "ann")
    people.event("bob", "cart")
    people.settle()
    people.event("ann", "cart")
    people.settle()
    commands, [moved] = people.out.commands, people.out.notices
    assert [one.person for one in commands] == ["ann", "bob", "bob"]
    assert moved == Moved(person="ann", into="bob", at=people.state("ann").now)
    store = InboxStore(stage.engine)
    async with stage.dispatching({"inbox": InboxChannel(store)}):
        await stage.produce([encode_json(moved)], kind=KIND_MOVED)
        await stage.produce(commands)
        await stage.settled(3)

        async def known() -> bool:
            return await current(stage.engine, "ann") == "bob"

        await until(known, "the notice")
    assert await store.unread("bob") == await store.unread("ann") == 3
    assert await stage.dead_letters() == []
