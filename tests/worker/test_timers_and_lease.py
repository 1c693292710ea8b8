"""The index of who has to be woken, and the lease on partitions."""

import asyncio
import random

import pytest

from services.triggers.worker.lease import Lease, LeaseLost
from services.triggers.worker.timers import Timers


class People(dict[str, int | None]):
    """`wake_at` of each person, as their states say."""

    def timers(self) -> Timers:
        return Timers(lambda person: self.get(person))


def test_people_are_due_in_order_of_time_and_then_of_name() -> None:
    people = People(c=5, a=7, b=5, d=9)
    timers = people.timers()
    for person, at in people.items():
        timers.arm(person, at)
    assert list(timers.due(7)) == [(5, "b"), (5, "c"), (7, "a")]
    assert list(timers.due(7)) == []
    assert len(timers) == 1


def test_a_timer_moved_later_is_found_at_its_new_time_only() -> None:
    people = People(a=5)
    timers = people.timers()
    timers.arm("a", 5)
    people["a"] = 8
    timers.arm("a", 8)
    assert list(timers.due(7)) == []
    assert list(timers.due(8)) == [(8, "a")]


def test_a_timer_moved_earlier_fires_once() -> None:
    people = People(a=9)
    timers = people.timers()
    timers.arm("a", 9)
    people["a"] = 4
    timers.arm("a", 4)
    assert list(timers.due(4)) == [(4, "a")]
    people["a"] = None
    assert list(timers.due(20)) == []
    assert len(timers) == 0


def test_whoever_needs_no_waking_any_more_is_not_woken() -> None:
    people = People(a=5)
    timers = people.timers()
    timers.arm("a", 5)
    people["a"] = None
    assert list(timers.due(9)) == []


def test_an_index_built_again_knows_the_same_people() -> None:
    timers = People(a=5, b=3).timers()
    timers.rebuild([("a", 5), ("b", 3)])
    assert timers.overdue(3) == 1
    assert list(timers.due(9)) == [(3, "b"), (5, "a")]


def test_nobody_is_forgotten_or_woken_early_whatever_is_armed_when() -> None:
    draw = random.Random(3)
    people = People()
    timers = people.timers()
    now = 0
    for _ in range(3000):
        person, now = f"p{draw.randrange(40)}", now + draw.randrange(3)
        people[person] = None if draw.random() < 0.2 else now + draw.randrange(1, 30)
        timers.arm(person, people[person])
        if draw.random() < 0.2:
            expected = sorted(
                (at, who) for who, at in people.items() if at is not None and at <= now
            )
            assert list(timers.due(now)) == expected
            for _, who in expected:
                people[who] = None


class Hands:
    """A clock and a heartbeat turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.beat_at = 100.0

    def lease(self) -> Lease:
        return Lease(2.0, lambda: self.beat_at, lambda: self.now)


def test_nothing_is_written_once_heartbeats_have_gone_unanswered_for_a_session() -> None:
    hands = Hands()
    lease = hands.lease()
    hands.now = 102.0
    with lease.held():
        pass
    hands.now = 102.1
    with pytest.raises(LeaseLost), lease.held():
        pytest.fail("the write has begun")


def test_a_write_that_outlives_the_lease_does_not_count() -> None:
    hands = Hands()
    lease = hands.lease()
    with pytest.raises(LeaseLost), lease.held():
        hands.now = 110.0


async def test_a_write_under_way_is_looked_after() -> None:
    hands = Hands()
    lease = hands.lease()
    write = lease.held()
    write.__enter__()
    hands.now = 110.0
    with pytest.raises(LeaseLost):
        await lease.watch()


async def test_silence_is_no_harm_while_nothing_is_written() -> None:
    hands = Hands()
    hands.now = 200.0
    watch = asyncio.create_task(hands.lease().watch())
    done, _ = await asyncio.wait({watch}, timeout=0.6)
    assert not done
    watch.cancel()
