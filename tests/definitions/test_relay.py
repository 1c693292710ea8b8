"""Whatever breaks between the outbox and the log, each revision arrives whole and in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.contracts.control import Marker
from services.contracts.definitions import DefinitionRecord
from services.triggers.definitions.memory import (
    MemoryAnnouncer,
    MemoryOutbox,
    MemoryStore,
    Tables,
)
from services.triggers.definitions.relay import Relay
from services.triggers.definitions.service import Definitions
from services.triggers.worker.definitions import DefinitionHistory
from tests.definitions.support import ROOT, START, make_definitions, policy, tag, trigger, until


class Rig:
    """A store, an outbox and a log that a relay joins."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.definitions: Definitions = make_definitions(MemoryStore(self.tables))
        self.announcer = MemoryAnnouncer()
        self.retries = 0
        self.relay = self.make_relay()

    def make_relay(self, announcer: MemoryAnnouncer | None = None) -> Relay:
        def count() -> None:
            self.retries += 1

        return Relay(
            MemoryOutbox(self.tables),
            announcer or self.announcer,
            poll_seconds=0.001,
            random=lambda: 0.999,
            on_retry=count,
        )

    @asynccontextmanager
    async def running(self, relay: Relay | None = None) -> AsyncIterator[None]:
        task = asyncio.create_task((relay or self.relay).run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def settled(self) -> None:
        """Everything published is carried and every wish answered."""
        await until(
            lambda: self.tables.carried == len(self.tables.revisions) and not self.tables.wishes,
            "an empty outbox",
        )


@pytest.fixture
async def rig() -> Rig:
    """Three revisions wait."""
    made = Rig()
    await made.definitions.bootstrap()
    await made.definitions.apply([tag(), trigger()], by=ROOT, dry_run=False)
    await made.definitions.apply([policy()], by=ROOT, dry_run=False)
    return made


def heads(written: list[DefinitionRecord | Marker]) -> list[tuple[str, int]]:
    """Heads and markers, in order."""
    found = []
    for one in written:
        if isinstance(one, Marker):
            found.append(("marker", one.revision))
        elif one.kind == "revision":
            found.append(("head", one.revision))
    return found


ONCE = [("head", 1), ("marker", 1), ("head", 2), ("marker", 2), ("head", 3), ("marker", 3)]


async def test_records_come_before_the_head_and_the_head_before_the_marker(rig: Rig) -> None:
    async with rig.running():
        await rig.settled()
    assert heads(rig.announcer.written) == ONCE
    second = rig.announcer.written[4:9]
    assert [one.id if isinstance(one, DefinitionRecord) else one for one in second] == [
        "orders",
        "cart_left",
        "cart_left@1",
        "head",
        Marker(revision=2, at=START),
    ]
    assert not rig.announcer.opened


async def test_what_is_published_while_it_runs_is_carried(rig: Rig) -> None:
    async with rig.running():
        await rig.settled()
        await rig.definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
        await rig.settled()
    assert heads(rig.announcer.written)[-2:] == [("head", 4), ("marker", 4)]


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "arrived"])
@pytest.mark.parametrize("method", ["open", "head", "write_definitions", "write_marker"])
async def test_a_broken_write_is_repeated_whole(rig: Rig, method: str, arrives: bool) -> None:
    rig.announcer.fail_next = [(method, arrives)] * 2
    async with rig.running():
        await rig.settled()
        assert rig.relay.problem is None
    assert rig.retries == 2
    # Read as a reader does, which takes the first of each, nothing is missing or misplaced.
    assert list(dict.fromkeys(heads(rig.announcer.written))) == ONCE


async def test_the_same_revision_is_the_same_values_when_repeated(rig: Rig) -> None:
    rig.announcer.fail_next = [("write_marker", True)]
    async with rig.running():
        await rig.settled()
    first = rig.announcer.written[:4]
    assert rig.announcer.written[4:8] == first


async def test_a_marker_never_comes_without_its_definitions(rig: Rig) -> None:
    rig.announcer.fail_next = [("write_definitions", False)] * 3
    async with rig.running():
        await rig.settled()
    assert heads(rig.announcer.written)[0] == ("head", 1)


async def test_a_revision_is_pending_until_its_marker_is_acknowledged(rig: Rig) -> None:
    class Slow(MemoryAnnouncer):
        def __init__(self) -> None:
            super().__init__()
            self.reached, self.acknowledged = asyncio.Event(), asyncio.Event()

        async def write_marker(self, marker: Marker) -> None:
            self.reached.set()
            await self.acknowledged.wait()
            await super().write_marker(marker)

    slow = Slow()
    async with rig.running(rig.make_relay(slow)):
        await asyncio.wait_for(slow.reached.wait(), 10)
        assert (await rig.definitions.revision()).pending == 3
        slow.acknowledged.set()
        await rig.settled()


async def test_while_the_log_is_away_the_relay_says_so_and_editing_goes_on(rig: Rig) -> None:
    rig.announcer.fail_next = [("open", False)] * 1000
    async with rig.running():
        await until(lambda: rig.relay.problem, "the relay's complaint")
        await rig.definitions.create(trigger("welcome"), by=ROOT, publish=True)
        assert (await rig.definitions.revision()).pending == 4
        rig.announcer.fail_next.clear()
        await rig.settled()
        assert rig.relay.problem is None


async def test_a_log_that_lost_everything_is_told_again_at_the_next_start(rig: Rig) -> None:
    async with rig.running():
        await rig.settled()
    fresh = MemoryAnnouncer()
    async with rig.running(rig.make_relay(fresh)):
        await until(lambda: fresh.written, "the announcement")
        await rig.settled()
    assert heads(fresh.written) == [("head", 3), ("marker", 3)]
    told = {(one.kind, one.id) for one in fresh.written if isinstance(one, DefinitionRecord)}
    assert told == {
        ("workspace", "default"),
        ("policy", "marketing_daily"),
        ("policy", "weekly"),
        ("tag", "orders"),
        ("trigger", "cart_left"),
        ("version", "cart_left@1"),
        ("revision", "head"),
    }


async def test_a_log_that_lost_everything_is_told_what_stood_before_what_is_new(rig: Rig) -> None:
    async with rig.running():
        await rig.settled()
    await rig.definitions.set_status("cart_left", "paused", by=ROOT, expected=None)
    fresh = MemoryAnnouncer()
    async with rig.running(rig.make_relay(fresh)):
        await rig.settled()
    # Revision 4 alone would be a workspace of one trigger without caps.
    assert heads(fresh.written) == [("head", 3), ("marker", 3), ("head", 4), ("marker", 4)]


async def test_a_log_that_lost_everything_is_told_every_version_that_counts(rig: Rig) -> None:
    for status in ("paused", "live"):
        await rig.definitions.set_status("cart_left", status, by=ROOT, expected=None)
    async with rig.running():
        await rig.settled()
    told = DefinitionHistory()
    for one in rig.announcer.written:
        if isinstance(one, DefinitionRecord):
            told.add(one)
    fresh, again = MemoryAnnouncer(), DefinitionHistory()
    async with rig.running(rig.make_relay(fresh)):
        await until(lambda: fresh.written, "the announcement")
        await rig.settled()
    for one in fresh.written:
        if isinstance(one, DefinitionRecord):
            again.add(one)
    assert again.bundle_at(5) == told.bundle_at(5)
    assert [(one.version, one.status) for one in again.bundle_at(5).pinned] == [
        (1, "live"),
        (2, "paused"),
    ]


async def test_a_database_behind_its_log_publishes_nothing_and_says_so(rig: Rig) -> None:
    async with rig.running():
        await rig.settled()
    restored = Rig()
    await restored.definitions.bootstrap()
    before = list(rig.announcer.written)
    relay = restored.make_relay(rig.announcer)
    async with restored.running(relay):
        await until(lambda: relay.problem, "the relay's complaint")
        assert relay.problem == (
            "the log stands at revision 3, the database only at 1: it was restored from a "
            "backup or belongs to another log"
        )
    assert rig.announcer.written == before


async def test_an_error_that_is_no_transient_one_comes_out(rig: Rig) -> None:
    class Broken(MemoryAnnouncer):
        async def open(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rig.make_relay(Broken()).run()
