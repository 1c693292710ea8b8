"""One suite for the store and the outbox, in memory and in PostgreSQL."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import VERSIONS_KEPT_MAX, DefinitionRecord, Kind
from services.triggers.definitions.auditing import Wanted, entry_of
from services.triggers.definitions.memory import MemoryOutbox, MemoryStore, Tables
from services.triggers.definitions.outbox import Desk, Outbox
from services.triggers.definitions.postgres import PostgresStore
from services.triggers.definitions.postgres_outbox import PostgresOutbox
from services.triggers.definitions.store import Store
from services.triggers.definitions.values import Definition, Review, Status, Stored, Submission
from tests.definitions.support import START, needing, person, policy, tag, trigger


def stored(definition: Definition, kind: Kind = "trigger", **changes: object) -> Stored:
    """A definition that is published for the first time."""
    fields: dict[str, object] = {
        "kind": kind,
        "id": definition.id,
        "status": "live",
        "version": 1,
        "published": definition,
        "created_at": START,
        "updated_at": START + 1,
    }
    return Stored(**{**fields, **changes})  # type: ignore[arg-type]


class StoreSuite:
    """What every store does."""

    async def test_what_is_saved_is_read_again(self, store: Store) -> None:
        value = stored(
            needing("orders", version=1), status="paused", draft=trigger(name="é\u2028\x7f")
        )
        async with store.writing() as writer:
            first = await writer.save(value)
            second = await writer.save(first)
        assert (first.edit, second.edit) == (1, 2)
        async with store.reading() as reader:
            assert await reader.get("trigger", "cart_left") == second
            assert await reader.get("tag", "cart_left") is None

    async def test_numbers_stay_what_they_were(self, store: Store) -> None:
        from services.contracts.conditions import Condition
        from services.contracts.entries import Entry

        where = Condition(property="x", op="in", value=(1, 1.0, 1e300, -0.0, 2**62, True, None))
        value = trigger(entry=Entry(events=("a",), where=where))
        async with store.writing() as writer:
            await writer.save(stored(value))
        async with store.reading() as reader:
            read = await reader.get("trigger", "cart_left")
        assert read is not None
        assert repr(read.published) == repr(value)

    async def test_an_exception_undoes_everything(self, store: Store) -> None:
        class Refused(Exception):
            pass

        async def write_and_fail() -> None:
            async with store.writing() as writer:
                await writer.publish([stored(trigger())], START)
                raise Refused

        with pytest.raises(Refused):
            await write_and_fail()
        async with store.reading() as reader:
            assert await reader.get("trigger", "cart_left") is None
            assert (await reader.revision()).revision == 0

    async def test_pages_follow_the_order_of_ids(self, store: Store) -> None:
        ids = ["a", "a_b", "a1", "ab", "b", "b_"]
        async with store.writing() as writer:
            for id_ in reversed(ids):
                await writer.save(stored(trigger(id_)))
            await writer.save(stored(trigger("a0"), status="archived"))
            await writer.save(stored(tag("a2"), "tag"))
        found: list[str] = []
        async with store.reading() as reader:
            while page := await reader.page(
                "trigger", status=None, after=found[-1] if found else "", limit=2
            ):
                found += [one.id for one in page]
            archived = await reader.page("trigger", status="archived", after="", limit=9)
            live = await reader.page("trigger", status="live", after="b", limit=9)
        assert found == sorted(ids)
        assert [one.id for one in archived] == ["a0"]
        assert [one.id for one in live] == ["b_"]

    async def test_current_is_everything_but_the_archived(self, store: Store) -> None:
        async with store.writing() as writer:
            await writer.save(stored(trigger("a")))
            await writer.save(stored(trigger("b"), status="archived"))
            await writer.save(stored(policy("c"), "policy"))
            await writer.save(stored(tag("d"), "tag", status="draft", version=0))
            # A transaction sees its own writes.
            assert [one.id for one in await writer.current()] == ["c", "d", "a"]

    async def test_versions_come_newest_first_in_pages(self, store: Store) -> None:
        for number in range(1, 5):
            status: Status = "archived" if number == 3 else "live"
            one = stored(trigger(version=number), version=number, status=status)
            async with store.writing() as writer:
                (saved,) = await writer.publish([one], START + number)
                await writer.record([entry_of(person("ann"), "published", None, saved)])
        async with store.reading() as reader:
            first = await reader.versions("trigger", "cart_left", below=None, limit=3)
            rest = await reader.versions("trigger", "cart_left", below=2, limit=3)
            second = await reader.version("trigger", "cart_left", 2)
            none = await reader.version("trigger", "cart_left", 5)
        assert [(one.version, one.revision, one.published_at, one.by) for one in first] == [
            (number, number, START + number, "ann") for number in (4, 3, 2)
        ]
        assert [one.definition is None for one in first] == [False, True, False]
        assert [one.version for one in rest] == [1]
        assert second == first[2]
        assert second is not None
        assert second.definition == trigger(version=2)
        assert none is None

    async def test_what_waits_for_review_is_listed_over_all_kinds(self, store: Store) -> None:
        review = Review(authors=("ann",), submitted=Submission(by="ann", at=START, note="please"))
        async with store.writing() as writer:
            await writer.save(stored(trigger("b"), status="in_review", review=review))
            await writer.save(stored(tag("z"), "tag", status="in_review", review=review))
            await writer.save(stored(trigger("a"), review=Review(authors=("ann",))))
            await writer.save(stored(trigger("c"), review=review))
        async with store.reading() as reader:
            found = await reader.waiting(after=("", ""), limit=9)
            later = await reader.waiting(after=("trigger", "b"), limit=9)
        assert [(one.kind, one.id) for one in found] == [
            ("tag", "z"), ("trigger", "b"), ("trigger", "c"),
        ]  # fmt: skip
        assert found[0].review == review
        assert [one.id for one in later] == ["c"]

    async def test_entries_are_kept_exactly_and_numbered_in_order(self, store: Store) -> None:
        made = [
            entry_of(person(who), "created", None, stored(trigger(f"t{number}")), note="\u4e8c")
            for number, who in enumerate(("ann", "ben", "ann"))
        ]
        async with store.writing() as writer:
            await writer.record(made[:2])
            await writer.record([])
        async with store.writing() as writer:
            await writer.record(made[2:])
        async with store.reading() as reader:
            found = await reader.entries_since(0, 9)
            newest = await reader.entries(Wanted(actor_id="ann"), below=None, limit=1)
            older = await reader.entries(Wanted(actor_id="ann"), below=newest[0].number, limit=9)
            rest = await reader.entries_since(found[0].number, 1)
        assert [msgspec.structs.replace(one, number=0) for one in found] == made
        assert found[0].number < found[1].number < found[2].number
        assert (newest, older, rest) == ([found[2]], [found[0]], [found[1]])

    async def test_each_publication_takes_the_next_revision(self, store: Store) -> None:
        async with store.writing() as writer:
            both = await writer.publish(
                [stored(trigger(version=1)), stored(tag(version=1), "tag")], START
            )
        async with store.writing() as writer:
            third = await writer.publish([stored(policy(version=1), "policy")], START + 5)
        assert [one.revision for one in [*both, *third]] == [1, 1, 2]
        async with store.reading() as reader:
            newest = await reader.revision()
            assert (newest.revision, newest.published_at, newest.pending) == (2, START + 5, 2)
            read = await reader.get("policy", "weekly")
            assert read == third[0]

    async def test_writers_take_turns_and_revisions_have_no_gaps(self, store: Store) -> None:
        async def publish(number: int) -> int:
            async with store.writing() as writer:
                before = (await writer.revision()).revision
                await asyncio.sleep(0)
                if number % 5 == 0:
                    raise ZeroDivisionError
                (one,) = await writer.publish([stored(trigger(f"t{number}"))], START)
                assert one.revision == before + 1
                return one.revision

        results = await asyncio.gather(
            *(publish(number) for number in range(20)), return_exceptions=True
        )
        revisions = sorted(one for one in results if isinstance(one, int))
        assert revisions == list(range(1, 17))
        assert sum(isinstance(one, ZeroDivisionError) for one in results) == 4


class TestMemoryStore(StoreSuite):
    """In memory."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(Tables())


class TestPostgresStore(StoreSuite):
    """In PostgreSQL."""

    @pytest.fixture
    def store(self, engine: AsyncEngine) -> Store:
        return PostgresStore(engine)

    @pytest.mark.parametrize("table", ["versions", "revisions"])
    @pytest.mark.parametrize("change", ["UPDATE {} SET revision = 9", "DELETE FROM {}"])
    async def test_published_versions_do_not_change(
        self, store: Store, engine: AsyncEngine, table: str, change: str
    ) -> None:
        async with store.writing() as writer:
            await writer.publish([stored(trigger(version=1))], START)
        with pytest.raises(DBAPIError, match="do not change"):
            async with engine.begin() as connection:
                await connection.execute(text(change.format(f"triggers.{table}")))


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
