"""Conformance of the decision log's adapters: each decision once, however often it comes."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.decision import Decision, Outcome
from services.contracts.errors import Malformed
from services.contracts.time import DAY, HOUR
from services.profile_store.decision_log import (
    Count,
    DecisionLog,
    Logged,
    Recorded,
    logged_of,
)
from services.profile_store.decision_memory import MemoryDecisions
from services.profile_store.decision_postgres import PostgresDecisions
from tests.profile_store.examples import HOSTILE_TEXTS, NOON

ALWAYS: dict[str, int] = {"from_": 0, "to": 2**62}


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
def log(request: pytest.FixtureRequest) -> DecisionLog:
    """Each adapter in turn."""
    if request.param == "memory":
        return MemoryDecisions()
    return PostgresDecisions(cast(AsyncEngine, request.getfixturevalue("engine")))


def decision(**fields: Any) -> Decision:
    """A decision about ana."""
    given: dict[str, Any] = {
        "person": "ana", "trigger": "hello", "trigger_version": 1, "step": 0,
        "outcome": Outcome.SENT, "event_id": "e", "now": NOON, "revision": 1,
    }  # fmt: skip
    return Decision(**(given | fields))


def logged(
    decisions: Sequence[Decision], offset: int = 0, partition: int = 0, written_ms: int = 1
) -> list[Logged]:
    """The decisions as they stand on a partition, from this offset on."""
    return [
        logged_of(
            encode_json(one), partition=partition, offset=offset + number, written_ms=written_ms
        )
        for number, one in enumerate(decisions)
    ]


async def of_ana(log: DecisionLog, **asked: Any) -> list[Decision]:
    given: dict[str, Any] = {"trigger": None, "limit": 100, "before": None}
    return [one for _, one in await log.of_people(["ana"], **(given | asked))]


async def total(log: DecisionLog) -> int:
    return sum(one.decisions for one in await log.counts(trigger=None, **ALWAYS))


async def test_a_decision_comes_back_whole_and_the_newest_comes_first(log: DecisionLog) -> None:
    one = decision(run_id="r", send_id="s", details={"policy": "p", "deep": {"x": [1, None]}})
    two = decision(now=NOON + 1, trigger="other", outcome=Outcome.CAP)
    assert await log.put(logged([one, two, decision(person="bo")])) == Recorded(
        written=3, repeated=0
    )
    assert await of_ana(log) == [two, one]
    assert await of_ana(log, trigger="hello") == [one]


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS)
async def test_texts_of_any_characters_are_kept(log: DecisionLog, hostile: str) -> None:
    one = decision(event_id=hostile, details={"policy": hostile, hostile: hostile})
    await log.put(logged([one]))
    assert await of_ana(log) == [one]


async def test_pages_follow_each_other_without_gap_or_double(log: DecisionLog) -> None:
    # Three of each instant: the order within it is the log's own, and stays.
    decisions = [decision(now=NOON + number // 3, event_id=str(number)) for number in range(10)]
    await log.put(logged(decisions))
    found, before = list[Decision](), None
    while page := await log.of_people(["ana"], trigger=None, limit=3, before=before):
        found += [one for _, one in page]
        before = page[-1][0]
    assert found == await of_ana(log)
    assert sorted(one.event_id for one in found) == sorted(one.event_id for one in decisions)


async def test_counts_are_by_hour_outcome_and_reason(log: DecisionLog) -> None:
    capped = {"policy": "daily", "count": 3}
    await log.put(
        logged(
            [
                decision(),
                decision(event_id="f"),
                decision(now=NOON + HOUR),
                decision(outcome=Outcome.CAP, details=capped),
                decision(outcome=Outcome.CAP, details={**capped, "deferred_until": 1}),
                decision(outcome=Outcome.PAUSED, details={"stopped": "mail"}),
                decision(trigger="other"),
            ]
        )
    )
    same: dict[str, Any] = {"trigger": "hello", "version": 1}
    assert await log.counts(trigger="hello", **ALWAYS) == [
        Count(hour=NOON, outcome="cap", reason="daily", decisions=1, **same),
        Count(hour=NOON, outcome="cap", reason="daily", put_off=True, decisions=1, **same),
        Count(hour=NOON, outcome="paused", reason="mail", decisions=1, **same),
        Count(hour=NOON, outcome="sent", decisions=2, **same),
        Count(hour=NOON + HOUR, outcome="sent", decisions=1, **same),
    ]
    assert await log.counts(trigger="hello", from_=NOON + HOUR, to=NOON + 2 * HOUR) == [
        Count(hour=NOON + HOUR, outcome="sent", decisions=1, **same)
    ]


async def test_what_is_read_again_is_known(log: DecisionLog) -> None:
    batch = logged([decision(event_id=str(number)) for number in range(5)])
    await log.put(batch)
    assert await log.put(batch) == Recorded(written=0, repeated=5)
    assert await total(log) == 5


async def test_what_a_worker_writes_again_after_a_crash_is_known(log: DecisionLog) -> None:
    decisions = [decision(event_id=str(number)) for number in range(5)]
    await log.put(logged(decisions[:3]))
    assert await log.put(logged(decisions, offset=3)) == Recorded(written=2, repeated=3)
    assert (await total(log), len(await of_ana(log))) == (5, 5)


async def test_the_same_offsets_of_other_partitions_are_other_records(log: DecisionLog) -> None:
    for partition in range(3):
        await log.put(logged([decision(event_id=str(partition))], partition=partition))
    assert await total(log) == 3


async def test_a_topic_made_anew_begins_again_and_nothing_of_it_is_lost(log: DecisionLog) -> None:
    await log.put(logged([decision(event_id=str(number)) for number in range(5)], written_ms=10))
    later = logged([decision(event_id="new")], offset=0, written_ms=11)
    assert await log.put(later) == Recorded(written=1, repeated=0)
    assert await log.put(later) == Recorded(written=0, repeated=1)


async def test_two_of_one_batch_count_as_one_where_they_are_one(log: DecisionLog) -> None:
    assert await log.put(logged([decision(), decision()])) == Recorded(written=1, repeated=1)


@pytest.mark.embedded
async def test_pruning_keeps_counts_the_newest_and_what_is_fresh(engine: AsyncEngine) -> None:
    log = PostgresDecisions(engine)
    await log.put(logged([decision(now=NOON + n, event_id=str(n)) for n in range(20)]))
    assert await log.prune(keep_micros=DAY, keep_people=10) == 0, "a worker may write them again"
    async with engine.begin() as connection:
        statement = "UPDATE profile_store.decisions SET stored_at = stored_at - interval '2 hours'"
        await connection.execute(text(statement))
    assert await log.prune(keep_micros=DAY, keep_people=10) == 10
    assert [one.now for one in await of_ana(log)] == [NOON + n for n in range(19, 9, -1)]
    assert await log.prune(keep_micros=HOUR, keep_people=10) == 10
    assert await total(log) == 20


@pytest.mark.embedded
async def test_what_was_pruned_and_is_read_again_is_not_counted_again(engine: AsyncEngine) -> None:
    log = PostgresDecisions(engine)
    batch = logged([decision()])
    await log.put(batch)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM profile_store.decisions"))
    assert await log.put(batch) == Recorded(written=0, repeated=1)
    assert await total(log) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"person": ""}, "person is empty"),
        ({"person": "x" * 3000}, "person is longer"),
        ({"now": 2**62}, "now is outside"),
        ({"trigger_version": 2**31}, "trigger_version is out of range"),
    ],
)
def test_what_cannot_be_stored_says_why(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        logged([decision(**fields)])
