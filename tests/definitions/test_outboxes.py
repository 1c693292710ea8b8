"""Conformance of the outboxes: what was published goes out in order, once, and whole."""

import asyncio
from collections.abc import Iterable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import VERSIONS_KEPT_MAX, DefinitionRecord
from services.triggers.definitions.memory import MemoryOutbox, MemoryStore, Tables
from services.triggers.definitions.outbox import Desk, Outbox
from services.triggers.definitions.postgres import PostgresStore
from services.triggers.definitions.postgres_outbox import PostgresOutbox
from services.triggers.definitions.store import Store
from services.triggers.definitions.values import Status
from tests.definitions.support import START, tag, trigger
from tests.definitions.test_store import stored


def keys(records: tuple[DefinitionRecord, ...]) -> list[tuple[str, str, int, int]]:
    """What identifies each record."""
    return [(one.kind, one.id, one.version, one.revision) for one in records]


async def publish_versions(store: Store, versions: Iterable[int], status: Status = "live") -> None:
    """A revision for each of these versions of one trigger."""
    for number in versions:
        async with store.writing() as writer:
            one = stored(trigger(version=number), version=number, status=status)
            await writer.publish([one], START)


async def carry(desk: Desk) -> list[tuple[str, str, int, int]]:
    """Do the next piece of work; gives what its records are."""
    work = await desk.next()
    assert work is not None
    await desk.done(work)
    return keys(work.records)


class OutboxSuite:
    """What every outbox does, over the store beside it."""

    async def test_revisions_come_in_order_until_they_are_done(
        self, store: Store, outbox: Outbox
    ) -> None:
        async with store.writing() as writer:
            await writer.publish([stored(trigger(version=1)), stored(tag(version=1), "tag")], START)
        async with store.writing() as writer:
            await writer.publish([stored(tag(version=2), "tag", version=2)], START + 1)
        async with outbox.leading() as desk:
            assert await desk.newest() == 2
            first = await desk.next()
            assert first is not None
            assert first == await desk.next()
            assert (first.revision, first.published_at, first.announcement) == (1, START, False)
            assert keys(first.records) == [
                ("tag", "orders", 1, 1),
                ("trigger", "cart_left", 1, 1),
                ("version", "cart_left@1", 1, 1),
                ("revision", "head", 1, 1),
            ]
            assert first.records[2].definition == first.records[1].definition
            assert first.records[0].definition == {
                "id": "orders",
                "version": 1,
                "aggregate": "count",
                "events": ["Order Completed"],
            }
            await desk.done(first)
            await desk.done(first)
        async with outbox.leading() as desk:
            second = await desk.next()
            assert second is not None
            assert second.revision == 2
            await desk.done(second)
            assert await desk.next() is None
        async with store.reading() as reader:
            assert (await reader.revision()).pending == 0

    async def test_an_announcement_holds_the_newest_of_each_up_to_what_was_carried(
        self, store: Store, outbox: Outbox
    ) -> None:
        await outbox.ask_for_announcement()
        async with outbox.leading() as desk:
            assert await desk.next() is None
        await outbox.ask_for_announcement()
        await outbox.ask_for_announcement()
        async with store.writing() as writer:
            await writer.publish([stored(trigger(version=1)), stored(tag(version=1), "tag")], START)
        async with store.writing() as writer:
            archived = stored(tag(version=1), "tag", version=2, status="archived")
            await writer.publish([archived], START + 1)
        async with outbox.leading() as desk:
            for revision in (1, 2):
                work = await desk.next()
                assert work is not None
                assert (work.revision, work.announcement) == (revision, False)
                await desk.done(work)
            assert await desk.next() is None
            # A third one waits, and is not yet part of what is announced.
            async with store.writing() as writer:
                await writer.publish([stored(tag(version=3), "tag", version=3)], START + 2)
            await outbox.ask_for_announcement()
            await outbox.ask_for_announcement()
            work = await desk.next()
            assert work is not None
            assert (work.revision, work.published_at, work.announcement) == (2, START + 1, True)
            assert keys(work.records) == [
                ("tag", "orders", 2, 2),
                ("trigger", "cart_left", 1, 1),
                ("version", "cart_left@1", 1, 1),
                ("revision", "head", 2, 2),
            ]
            # Removed ones are said to be removed: the topic may still hold what they were.
            assert work.records[0].definition is None
            await outbox.ask_for_announcement()
            await desk.done(work)
            later = await desk.next()
            assert later is not None
            assert later.announcement, "a wish made while another was carried is not lost"
            await desk.done(later)
            third = await desk.next()
            assert third is not None
            assert (third.revision, third.announcement) == (3, False)

    async def test_each_version_of_a_trigger_has_a_key_of_its_own(
        self, store: Store, outbox: Outbox
    ) -> None:
        await publish_versions(store, range(1, 4))
        async with outbox.leading() as desk:
            found = [await carry(desk) for _ in range(3)]
            await outbox.ask_for_announcement()
            found.append(await carry(desk))
        versions = [[one for one in records if one[0] == "version"] for records in found]
        assert versions[:3] == [[("version", f"cart_left@{n}", n, n)] for n in (1, 2, 3)]
        assert versions[3] == [one for (one,) in versions[:3]]

    async def test_versions_past_those_kept_are_let_go_of(
        self, store: Store, outbox: Outbox
    ) -> None:
        last = VERSIONS_KEPT_MAX + 2
        await publish_versions(store, range(1, last + 1))
        async with outbox.leading() as desk:
            for number in range(1, last + 1):
                work = await desk.next()
                assert work is not None
                gone = [one for one in work.records if one.definition is None][:-1]
                expected = number - VERSIONS_KEPT_MAX
                ids = [f"cart_left@{expected}"] if expected >= 1 else []
                assert [one.id for one in gone] == ids
                await desk.done(work)
            await outbox.ask_for_announcement()
            announced = [one for one in await carry(desk) if one[0] == "version"]
        assert announced == [("version", f"cart_left@{n}", n, n) for n in range(3, last + 1)]

    async def test_a_removed_trigger_lets_go_of_its_versions_and_begins_anew(
        self, store: Store, outbox: Outbox
    ) -> None:
        await publish_versions(store, range(1, 3))
        await publish_versions(store, [3], status="archived")
        async with outbox.leading() as desk:
            for _ in range(2):
                await carry(desk)
            work = await desk.next()
            assert work is not None
            assert [(one.id, one.definition) for one in work.records[:3]] == [
                ("cart_left", None),
                ("cart_left@1", None),
                ("cart_left@2", None),
            ]
            await desk.done(work)
            await outbox.ask_for_announcement()
            assert await carry(desk) == [("trigger", "cart_left", 3, 3), ("revision", "head", 3, 3)]
            await publish_versions(store, [4])
            await carry(desk)
            await outbox.ask_for_announcement()
            announced = [one for one in await carry(desk) if one[0] == "version"]
        assert announced == [("version", "cart_left@4", 4, 4)]

    async def test_one_leads_at_a_time_and_the_next_takes_over(self, outbox: Outbox) -> None:
        leading = 0
        most = 0

        async def lead() -> None:
            nonlocal leading, most
            async with outbox.leading():
                leading += 1
                most = max(most, leading)
                await asyncio.sleep(0.01)
                leading -= 1

        async with asyncio.timeout(20):
            await asyncio.gather(*(lead() for _ in range(3)))
        assert most == 1


class TestMemoryOutbox(OutboxSuite):
    """In memory."""

    @pytest.fixture
    def tables(self) -> Tables:
        return Tables()

    @pytest.fixture
    def store(self, tables: Tables) -> Store:
        return MemoryStore(tables)

    @pytest.fixture
    def outbox(self, tables: Tables) -> Outbox:
        return MemoryOutbox(tables)


class TestPostgresOutbox(OutboxSuite):
    """In PostgreSQL."""

    @pytest.fixture
    def store(self, engine: AsyncEngine) -> Store:
        return PostgresStore(engine)

    @pytest.fixture
    def outbox(self, engine: AsyncEngine) -> Outbox:
        return PostgresOutbox(engine)

    async def test_a_leader_whose_session_ended_can_mark_nothing_done(
        self, store: Store, outbox: Outbox, engine: AsyncEngine
    ) -> None:
        from services.contracts.errors import Transient

        async with store.writing() as writer:
            await writer.publish([stored(trigger(version=1))], START)
        async with outbox.leading() as fenced:
            work = await fenced.next()
            assert work is not None
            async with engine.begin() as connection:
                await connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks "
                        "WHERE locktype = 'advisory' AND pid <> pg_backend_pid() AND database = "
                        "(SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                )
            async with outbox.leading() as successor:
                with pytest.raises(Transient):
                    await fenced.done(work)
                assert await successor.next() == work
