"""From what the engine concluded to bytes that fit: the end of a stretch of the fold."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from services.contracts.cleaning import Finding, Findings
from services.contracts.codec import encode_hop, encode_json
from services.contracts.command import Cancel, Erased, Moved, SendCommand, is_urgent
from services.contracts.control import Answer
from services.contracts.decision import Decision, Outcome
from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.contracts.topics import (
    ERASED_HEADER,
    KIND_CANCEL,
    KIND_ERASED,
    KIND_HEADER,
    KIND_MOVED,
)
from services.runtime.batch.writer import VALUE_BYTES_MAX, Headed
from services.runtime.kafka import partition_of
from services.triggers.worker.engine_port import Engine
from services.triggers.worker.letters import Letters
from services.triggers.worker.reading import (
    PartitionMeta,
    Record,
    check_person,
    encode_meta,
)
from services.triggers.worker.single import Hop, kind_of_hop, made_by
from services.triggers.worker.values import Flush, Records, States

DEAD_LETTER: Final = "dead_letter"
REPLAYED: Final = "replayed"
FINDINGS_MAX: Final = 200
"""What cleaning found, in one record; an event's stand together, 50 more at the most."""
POLICY_UNNAMED: Final = "unnamed"
Notice = Cancel | Moved | Erased
_NOTICES: Final = {Cancel: KIND_CANCEL, Moved: KIND_MOVED, Erased: KIND_ERASED}


class FlushBuilder:
    """Encodes outputs. `meta_changed` makes the next flush write the meta."""

    def __init__(self, engine: Engine, partitions: int) -> None:
        self._partitions = partitions
        self.meta_changed = False

    @staticmethod
    def drop_outputs_of(person: str, out: Any) -> None:
        """Take out what was concluded for a person in this stretch."""
        for collected in (out.commands, out.notices, out.decisions, out.profiles, out.findings):
            collected[:] = [one for one in collected if one.person != person]
        out.hops[:] = [hop for hop in out.hops if made_by(hop) != person]

    @staticmethod
    def take_over(out: Any, again: Any) -> None:
        """Put in what was concluded once more."""
        for name in ("commands", "notices", "decisions", "profiles", "findings", "hops"):
            getattr(out, name).extend(getattr(again, name))

    def build(
        self,
        out: Any,
        letters: Letters,
        *,
        states: States,
        meta: PartitionMeta,
        replayed: int,
        record: Record,
        last: bool,
        complete: bool,
    ) -> Flush:
        """Put together what is to be written; `record` is the batch's last. Not `complete`: some
        people's part of the same stretch comes with a later flush."""
        origins = [command.origin_received_at for command in out.commands]
        bulk: list[SendCommand] = []
        urgent: list[SendCommand] = []
        for command in out.commands:
            (urgent if is_urgent(command) else bulk).append(command)
        commands = _encoded(bulk, letters, record)
        overtaking = _encoded(urgent, letters, record)
        decisions = _encoded(out.decisions, letters, record)
        profiles = _encoded(out.profiles, letters, record)
        hops = _routed(out.hops, letters, record, self._partitions)
        lettered, codes = letters.take()
        events = {outcome: count for outcome, count in out.counts.items() if count}
        if replayed:
            events[REPLAYED] = replayed
        if lettered:
            events[DEAD_LETTER] = len(lettered)
        flush = Flush(
            commands=commands,
            urgent=overtaking,
            notices=_noticed(out.notices),
            erased=_noticed(one for one in out.notices if isinstance(one, Erased)),
            decisions=decisions,
            profiles=profiles,
            quality=_found(out.findings, out.partition, complete=complete),
            letters=lettered,
            states=states,
            meta=encode_meta(meta) if self.meta_changed else None,
            last=last,
            origins=origins,
            events=events,
            skipped={kind: count for kind, count in out.skipped.items() if count},
            lettered=codes,
            hops=hops,
            tombstones=_tombstones(out.notices),
        )
        self.meta_changed = False
        _count_decisions(out.decisions, flush)
        _count_hops(out.hops, flush)
        return flush


def _encoded(
    outputs: Iterable[SendCommand | Decision | Profile], letters: Letters, record: Record
) -> Records:
    records: Records = []
    for output in outputs:
        value = encode_json(output)
        if len(value) > VALUE_BYTES_MAX:
            error = Malformed("output_too_large", f"a {type(output).__name__} exceeds one record")
            letters.add(record, error, key=output.person.encode(), value=value)
        else:
            records.append((output.person.encode(), value))
    return records


def _found(findings: list[Finding], partition: int, *, complete: bool) -> Records:
    """Records of what was found, none with a part of what was found in one event."""
    records: Records = []
    # A person that was rolled back is folded again behind the others.
    findings = sorted(findings, key=_position)
    while findings:
        size = min(len(findings), FINDINGS_MAX)
        while size < len(findings) and findings[size].position == findings[size - 1].position:
            size += 1
        found = Findings(partition=partition, findings=tuple(findings[:size]), complete=complete)
        records.append((None, encode_json(found)))
        findings = findings[size:]
    return records


def _position(finding: Finding) -> int:
    return finding.position


def _tombstones(notices: Iterable[Notice]) -> list[Headed]:
    """What takes the profiles of erased people away: the record's header says for whom."""
    return [
        (one.person.encode(), None, ((KIND_HEADER, KIND_ERASED), (ERASED_HEADER, encode_json(one))))
        for one in notices
        if isinstance(one, Erased)
    ]


def _noticed(notices: Iterable[Notice]) -> list[Headed]:
    return [
        (
            one.person.encode(),
            encode_json(one),
            ((KIND_HEADER, _NOTICES[type(one)]),),
        )
        for one in notices
    ]


def _routed(
    hops: Iterable[Hop], letters: Letters, record: Record, partitions: int
) -> dict[int, list[Headed]]:
    routed: dict[int, list[Headed]] = {}
    for hop in hops:
        kind, value = kind_of_hop(hop), encode_hop(hop)
        try:
            key = check_person(hop.person, None)
            if len(value) > VALUE_BYTES_MAX:
                raise Malformed("output_too_large", f"a {type(hop).__name__} exceeds one record")
        except Malformed as error:
            letters.add(record, error, key=made_by(hop).encode(), value=value)
            continue
        headed = (key, value, ((KIND_HEADER, kind),))
        routed.setdefault(partition_of(key, partitions), []).append(headed)
    return routed


def _count_hops(hops: Iterable[Hop], flush: Flush) -> None:
    hopped = Counter(type(hop).__name__.lower() for hop in hops)
    flush.hopped = hopped
    flush.merged = sum(isinstance(hop, Answer) and hop.state is not None for hop in hops)


def _count_decisions(decisions: Iterable[Decision], flush: Flush) -> None:
    decided: Counter[str] = Counter()
    capped: Counter[str] = Counter()
    for decision in decisions:
        decided[decision.outcome] += 1
        if decision.outcome is Outcome.CAP:
            capped[str(decision.details.get("policy", POLICY_UNNAMED))] += 1
    flush.decided, flush.capped = decided, capped
