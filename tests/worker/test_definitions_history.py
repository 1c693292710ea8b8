"""What the definitions topic says of each revision, and rules made of it."""

import asyncio
from typing import Any

import pytest

from services.contracts.definitions import (
    DEFAULT_POLICY,
    VERSIONS_KEPT_MAX,
    Bundle,
    DefinitionRecord,
    Workspace,
)
from services.contracts.errors import DefinitionError
from services.contracts.time import DAY
from services.triggers.definitions.rows import version_of, with_versions
from services.triggers.engine import compile_rules
from services.triggers.worker.definitions import DefinitionHistory
from services.triggers.worker.rulebook import RULES_KEPT_MAX, Rulebook
from services.triggers.worker.values import InForce, Unavailable
from tests.engine.build import NOON, Log
from tests.worker.standin import StandInRules, stand_in


def tag(revision: int, id_: str = "views", **fields: Any) -> DefinitionRecord:
    definition = {"id": id_, "aggregate": "count", "events": ["View"], **fields}
    return DefinitionRecord(
        kind="tag", id=id_, version=revision, revision=revision, definition=definition
    )


def head(revision: int) -> DefinitionRecord:
    return DefinitionRecord(kind="revision", id="head", version=revision, revision=revision)


def test_before_anything_is_published_only_the_default_policy_is_in_force() -> None:
    assert DefinitionHistory().bundle_at(0) == Bundle(revision=0)


def test_each_revision_keeps_what_was_in_force_then() -> None:
    history = DefinitionHistory()
    for record in (tag(1), head(1), tag(2, window="1h"), tag(2, "orders"), head(2)):
        history.add(record)
    assert history.head == 2
    assert [(one.id, one.window) for one in history.bundle_at(1).tags] == [("views", None)]
    assert [(one.id, one.window) for one in history.bundle_at(2).tags] == [
        ("orders", None),
        ("views", "1h"),
    ]
    assert history.bundle_at(2).tags[0].version == 2


def test_a_removed_definition_is_in_force_only_before_its_removal() -> None:
    history = DefinitionHistory()
    history.add(tag(1))
    history.add(DefinitionRecord(kind="tag", id="views", version=2, revision=3))
    assert len(history.bundle_at(2).tags) == 1
    assert history.bundle_at(3).tags == ()


def test_definitions_announced_again_change_nothing() -> None:
    history = DefinitionHistory()
    for record in (tag(1), tag(2, window="1h"), head(2), tag(1), tag(2, window="1h"), head(2)):
        history.add(record)
    assert [one.window for one in history.bundle_at(2).tags] == ["1h"]


def trigger(revision: int, version: int, **fields: Any) -> DefinitionRecord:
    definition = {
        "id": "hello",
        "name": f"as of {version}",
        "entry": {"events": ["View"]},
        "steps": [{"send": {"channel": "log"}}],
        **fields,
    }
    return DefinitionRecord(
        kind="trigger", id="hello", version=version, revision=revision, definition=definition
    )


def pinned(history: DefinitionHistory, revision: int) -> list[tuple[str, int]]:
    return [(one.name, one.version) for one in history.bundle_at(revision).pinned]


def test_earlier_versions_of_what_is_in_force_are_pinned() -> None:
    history = DefinitionHistory()
    for number in (1, 3, 4):
        history.add(trigger(number, number))
    history.add(tag(2))
    assert [pinned(history, revision) for revision in (1, 2, 3)] == [[], [], [("as of 1", 1)]]
    assert pinned(history, 4) == [("as of 1", 1), ("as of 3", 3)]
    assert [one.version for one in history.bundle_at(3).triggers] == [3]


def test_compaction_takes_the_versions_that_were_replaced_and_leaves_those_pinned() -> None:
    whole, compacted = DefinitionHistory(), DefinitionHistory()
    for number in (1, 2, 3):
        whole.add(trigger(number, number))
        whole.add(version_of(trigger(number, number)))
        compacted.add(version_of(trigger(number, number)))
    compacted.add(trigger(3, 3))
    for revision in range(4):
        assert compacted.bundle_at(revision) == whole.bundle_at(revision)
    assert pinned(compacted, 3) == [("as of 1", 1), ("as of 2", 2)]


def test_no_version_from_before_a_removal_is_pinned() -> None:
    history = DefinitionHistory()
    history.add(trigger(1, 1))
    history.add(DefinitionRecord(kind="trigger", id="hello", version=2, revision=2))
    assert history.bundle_at(2).pinned == ()
    history.add(DefinitionRecord(kind="version", id="hello@1", version=1, revision=2))
    history.add(trigger(3, 3))
    history.add(trigger(4, 4))
    assert pinned(history, 4) == [("as of 3", 3)]


def test_no_more_versions_are_pinned_than_are_kept() -> None:
    history = DefinitionHistory()
    for number in range(1, VERSIONS_KEPT_MAX + 3):
        history.add(trigger(number, number))
    versions = [version for _, version in pinned(history, VERSIONS_KEPT_MAX + 2)]
    assert versions == list(range(3, VERSIONS_KEPT_MAX + 2))


def test_an_earlier_version_that_cannot_be_read_is_left_out() -> None:
    history = DefinitionHistory()
    history.add(trigger(1, 1))
    history.add(version_of(trigger(2, 2, priority=1_000)))
    history.add_unreadable(b"version/hello@1")
    history.add(trigger(3, 3))
    assert pinned(history, 3) == [("as of 1", 1)]


def test_the_default_policy_can_be_changed_and_removed() -> None:
    history = DefinitionHistory()
    changed = {"id": DEFAULT_POLICY.id, "limit": 9, "window": "24h"}
    history.add(
        DefinitionRecord(
            kind="policy", id=DEFAULT_POLICY.id, version=1, revision=1, definition=changed
        )
    )
    history.add(DefinitionRecord(kind="policy", id=DEFAULT_POLICY.id, version=2, revision=2))
    assert history.bundle_at(0).policies == (DEFAULT_POLICY,)
    assert [policy.limit for policy in history.bundle_at(1).policies] == [9]
    assert history.bundle_at(2).policies == ()


def test_the_workspace_has_its_defaults_until_it_is_published() -> None:
    history = DefinitionHistory()
    history.add(
        DefinitionRecord(
            kind="workspace",
            id="default",
            version=1,
            revision=1,
            definition={"id": "default", "time_zone": "Asia/Shanghai"},
        )
    )
    assert history.bundle_at(0).workspace == Workspace()
    assert history.bundle_at(1).workspace.time_zone == "Asia/Shanghai"


def test_a_definition_of_a_newer_schema_is_refused_by_name() -> None:
    history = DefinitionHistory()
    history.add(tag(1, aggregate="median"))
    with pytest.raises(DefinitionError) as refused:
        history.bundle_at(1)
    assert refused.value.problems[0][0] == "tag/views"
    assert history.bundle_at(0) == Bundle(revision=0)


def test_an_unreadable_record_spoils_later_revisions_until_it_is_replaced() -> None:
    history = DefinitionHistory()
    history.add(tag(1))
    history.add(head(1))
    history.add_unreadable(b"tag/views")
    history.add(head(2))
    assert len(history.bundle_at(1).tags) == 1
    with pytest.raises(DefinitionError):
        history.bundle_at(2)
    history.add(tag(3))
    assert len(history.bundle_at(3).tags) == 1


class Shelf:
    """Definitions by revision, counting how often they are asked for."""

    def __init__(self, refused: int | None = None) -> None:
        self.asked: list[int] = []
        self.refused = refused

    async def wait_for(self, revision: int) -> None:
        if revision > 100:
            await asyncio.Event().wait()

    def bundle_at(self, revision: int) -> Bundle:
        self.asked.append(revision)
        if revision == self.refused:
            raise DefinitionError([("triggers.x", "wrong")])
        return Bundle(revision=revision)


async def test_rules_are_compiled_once_for_all_partitions() -> None:
    shelf = Shelf()
    book = Rulebook(shelf, stand_in(), wait_seconds=1)
    first = await book.at(3)
    assert first == InForce(StandInRules(3))
    assert await book.at(3) is first
    assert shelf.asked == [3]
    for revision in range(4, 4 + RULES_KEPT_MAX):
        await book.at(revision)
    await book.at(3)
    assert shelf.asked.count(3) == 2


async def test_refused_definitions_say_where_and_why() -> None:
    book = Rulebook(Shelf(refused=3), stand_in(), wait_seconds=1)
    assert await book.at(3) == Unavailable("definitions_refused", "triggers.x: wrong")


async def test_the_wait_for_definitions_is_bounded_and_may_be_repeated() -> None:
    book = Rulebook(Shelf(), stand_in(), wait_seconds=0.01)
    for _ in range(2):
        answer = await book.at(101)
        assert isinstance(answer, Unavailable)
        assert answer.code == "definitions_missing"


def test_whoever_is_under_way_goes_on_in_their_version_whatever_became_of_it_since() -> None:
    def welcome(version: int, text: str, status: str = "live") -> DefinitionRecord:
        later = {"send": {"channel": "log", "content": {"body": text}}}
        steps = [{"wait": {"for": "1d"}}, later]
        return trigger(version, version, steps=steps, status=status)

    history = DefinitionHistory()
    history.add(version_of(welcome(1, "first")))
    log = Log(rules=compile_rules(history.bundle_at(1)), reload=True)
    log.event("View")
    for version, status in ((2, "live"), (3, "paused"), (4, "live")):
        for record in with_versions([welcome(version, "later", status)]):
            # What the newer version replaced is gone, as after compaction.
            if record.kind == "version" or version == 4:
                history.add(record)
        if status == "paused":
            log.publish(history.bundle_at(version))
            assert log.wake(NOON + 2 * DAY) == []
    log.publish(history.bundle_at(4))
    log.event("View", now=NOON + 2 * DAY + 1)
    log.wake(NOON + 4 * DAY)
    told = [(one.trigger_version, one.content.body) for one in log.out.commands]
    assert told == [(1, "first"), (4, "later")]
