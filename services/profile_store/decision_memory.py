"""The decision log in memory: the fake behind fast tests."""

from collections import Counter
from collections.abc import Sequence

from services.contracts.decision import Decision
from services.contracts.time import Micros
from services.profile_store.decision_log import (
    COUNTS_MAX,
    Count,
    Logged,
    Place,
    Recorded,
    hour_of,
    is_put_off,
    reason_of,
)


class MemoryDecisions:
    """Keeps decisions in a dict, in the order in which they were stored."""

    def __init__(self) -> None:
        self._stored: dict[bytes, Decision] = {}
        self._counts: Counter[tuple[Micros, str, int, str, str, bool]] = Counter()
        self._places: dict[int, tuple[int, int]] = {}

    async def put(self, batch: Sequence[Logged]) -> Recorded:
        """See the port."""
        written = 0
        for one in batch:
            offset, written_ms = self._places.get(one.partition, (-1, -1))
            known = one.offset <= offset and one.written_ms <= written_ms
            if known or one.digest in self._stored:
                continue
            decision = one.decision
            self._stored[one.digest] = decision
            self._counts[
                hour_of(decision.now),
                decision.trigger,
                decision.trigger_version,
                decision.outcome.value,
                reason_of(decision),
                is_put_off(decision),
            ] += 1
            written += 1
        for one in batch:
            _, written_ms = self._places.get(one.partition, (-1, -1))
            self._places[one.partition] = one.offset, max(written_ms, one.written_ms)
        return Recorded(written=written, repeated=len(batch) - written)

    async def of_people(
        self, people: Sequence[str], *, trigger: str | None, limit: int, before: Place | None
    ) -> list[tuple[Place, Decision]]:
        """See the port."""
        found = [
            (Place(now=one.now, digest=digest), one)
            for digest, one in self._stored.items()
            if one.person in people and trigger in (None, one.trigger)
        ]
        found.sort(key=lambda one: one[0], reverse=True)
        return [one for one in found if before is None or one[0] < before][:limit]

    async def counts(self, *, trigger: str | None, from_: Micros, to: Micros) -> list[Count]:
        """See the port."""
        found = [
            Count(
                hour=hour, trigger=name, version=version, outcome=outcome, reason=reason,
                put_off=put_off, decisions=decisions,
            )
            for (hour, name, version, outcome, reason, put_off), decisions in self._counts.items()
            if from_ <= hour < to and trigger in (None, name)
        ]  # fmt: skip
        return sorted(found)[-COUNTS_MAX:]

    async def prune(self, *, keep_micros: int, keep_people: int) -> int:
        """See the port; nothing here is old, or new enough to be spared."""
        gone: list[bytes] = []
        for person in {one.person for one in self._stored.values()}:
            theirs = sorted(
                ((one.now, digest) for digest, one in self._stored.items() if one.person == person),
                reverse=True,
            )
            gone += [digest for _, digest in theirs[keep_people:]]
        if keep_micros <= 0:
            gone = list(self._stored)
        for digest in gone:
            del self._stored[digest]
        return len(gone)
