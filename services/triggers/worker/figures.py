"""The worker's metrics: counted once a flush and once a second, never once an event."""

import time
from collections.abc import Iterable, Mapping

from services.contracts.metrics import (
    CAP_SUPPRESSIONS,
    CONSUMER_LAG,
    DEAD_LETTERS,
    DECISION_SECONDS,
    DECISIONS,
    DEFINITIONS_REVISION,
    EVENTS,
    HOPS,
    INGEST_TO_COMMAND_SECONDS,
    PEOPLE_MERGED,
    STATE_PERSONS,
    TIMERS,
    VALUES_SKIPPED,
)
from services.contracts.time import SECOND, Micros
from services.runtime.metrics import Metrics
from services.triggers.worker.letters import ORIGIN
from services.triggers.worker.values import Flush


class Figures:
    """What happened, as Prometheus sees it.

    `wall`: records carry the machine's time, so that latencies mean something.
    """

    def __init__(self, metrics: Metrics, *, topic: str, wall: bool) -> None:
        self._events = metrics.counter(EVENTS)
        self._hops = metrics.counter(HOPS)
        self._merged = metrics.counter(PEOPLE_MERGED)
        self._skipped = metrics.counter(VALUES_SKIPPED)
        self._decisions = metrics.counter(DECISIONS)
        self._capped = metrics.counter(CAP_SUPPRESSIONS)
        self._letters = metrics.counter(DEAD_LETTERS)
        self._decision_seconds = metrics.histogram(DECISION_SECONDS)
        self._to_command_seconds = metrics.histogram(INGEST_TO_COMMAND_SECONDS)
        self._lag = metrics.gauge(CONSUMER_LAG)
        self._timers = metrics.gauge(TIMERS)
        self._people = metrics.gauge(STATE_PERSONS)
        self._revision = metrics.gauge(DEFINITIONS_REVISION)
        self._topic = topic
        self._wall = wall

    def commands_acknowledged(self, origins: Iterable[Micros]) -> None:
        """Commands caused by events received at these times are on the log."""
        if self._wall:
            now = time.time_ns() // 1000
            for origin in origins:
                self._to_command_seconds.observe(max(0, now - origin) / SECOND)

    def count(self, flush: Flush, seconds: float) -> None:
        """A flush is durable, `seconds` after its batch was taken up."""
        for outcome, count in flush.events.items():
            self._events.labels(outcome).inc(count)
        for kind, count in flush.hopped.items():
            self._hops.labels(kind).inc(count)
        self._merged.inc(flush.merged)
        for kind, count in flush.skipped.items():
            self._skipped.labels(kind).inc(count)
        for decided, count in flush.decided.items():
            self._decisions.labels(decided).inc(count)
        for policy, count in flush.capped.items():
            self._capped.labels(policy).inc(count)
        for code, count in flush.lettered.items():
            self._letters.labels(ORIGIN, code).inc(count)
        self._decision_seconds.observe(seconds)

    def partition(self, partition: int, *, lag: int | None, people: int, revision: int) -> None:
        """How one owned partition stands."""
        label = str(partition)
        if lag is not None:
            self._lag.labels(self._topic, label).set(lag)
        self._people.labels(label).set(people)
        self._revision.labels(label).set(revision)

    def timers(self, counts: Mapping[str, int]) -> None:
        """Timers of all owned partitions, by state."""
        for state, count in counts.items():
            self._timers.labels(state).set(count)

    def forget(self, partition: int) -> None:
        """The partition is another worker's now."""
        label = str(partition)
        self._lag.remove(self._topic, label)
        self._people.remove(label)
        self._revision.remove(label)
