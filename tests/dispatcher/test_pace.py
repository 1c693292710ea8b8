"""Bulk gives way to urgent sends where there is too much to do, and to nobody else."""

import pytest

from services.dispatcher.breaker import BreakerPolicy
from services.dispatcher.channels.nobody import NobodyChannel
from services.dispatcher.pace import LATE_SECONDS, SHARE_MIN, URGENT_SECONDS, Pace
from services.dispatcher.provider import Provider
from services.runtime.metrics import Metrics

LATE = 2 * LATE_SECONDS


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_without_urgent_sends_bulk_has_everything_however_late_it_is() -> None:
    pace = Pace()
    pace.late(10.0)
    assert (pace.share, pace.places_of(32)) == (1.0, 32)


def test_while_urgent_sends_come_a_late_loop_takes_places_from_bulk_down_to_a_few() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.urgent()
    pace.late(LATE_SECONDS / 2)
    assert pace.share == 1.0
    pace.late(LATE)
    assert (pace.share, pace.places_of(32)) == (0.5, 16)
    for _ in range(20):
        pace.late(LATE)
    assert (pace.share, pace.places_of(32), pace.places_of(4)) == (SHARE_MIN, 2, 1)


@pytest.mark.parametrize("still_late", [False, True])
def test_bulk_gets_its_places_back_once_the_loop_keeps_up_or_nothing_urgent_comes(
    still_late: bool,
) -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.urgent()
    for _ in range(20):
        pace.late(LATE)
    if still_late:
        clock.at += URGENT_SECONDS
    for _ in range(40):
        pace.late(LATE if still_late else 0.0)
    assert pace.share == 1.0


def test_while_urgent_sends_come_bulk_is_brought_in_by_small_batches() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.batch_of(1000) == 1000
    pace.urgent()
    assert (pace.batch_of(1000), pace.batch_of(5)) == (100, 1)
    clock.at += URGENT_SECONDS
    assert pace.batch_of(1000) == 1000


def test_a_provider_keeps_for_urgent_sends_what_bulk_may_not_use() -> None:
    clock = Clock()
    pace = Pace(clock)
    provider = Provider(
        "log",
        NobodyChannel(),
        concurrency=32,
        rate=None,
        breaker=BreakerPolicy(failures=3, open_seconds=1.0),
        metrics=Metrics(),
        pace=pace,
    )
    assert provider.bulk_of(provider.reserve()) == 28
    provider.release(32)
    pace.urgent()
    pace.late(LATE)
    assert provider.bulk_of(provider.reserve(20)) == 16
    assert provider.reserve() == 12
