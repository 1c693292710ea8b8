"""One suite for the store and the outbox, in memory and in PostgreSQL."""

import asyncio

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Kind
from services.triggers.definitions.auditing import Wanted, entry_of
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.postgres import PostgresStore
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
