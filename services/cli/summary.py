"""What a demo run did, counted at the far end, and whether the counts agree."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

NO_IDENTITY: Final = "missing_identity"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from a request leaving the client to the send command standing in Kafka."""

    samples: int
    p50_ms: float
    p99_ms: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's result. Nothing in it is what was meant to happen: `sent` alone is the
    client's own count, everything else was read from topics, database and metrics.

    `accepted` and `refused` come from ingest's metrics, `logged` counts the events on the
    topic, `folded` comes from the worker's metrics, `decisions` (by trigger, then outcome)
    and `sends` (by trigger, then channel) from their topics, `ledger` and the profile
    counts from PostgreSQL, `deliveries` from the delivery events that came back. `loaded_…`
    is the part of the run in which events went in as fast as they were taken.
    `messages_accepted` is what profiles count: a person's log forgets an open send after
    seven days, and while catching up a day lasts some milliseconds, so it falls short of the
    deliveries by those that came back too many simulated days later.
    """

    file: str
    sent: int
    accepted: int
    refused: dict[str, int]
    logged: int
    folded: dict[str, int]
    dead_letters: dict[str, int]
    people: int
    people_seen: int
    tag_values: int
    messages_accepted: int
    decisions: dict[str, dict[str, int]]
    caps: dict[str, int]
    sends: dict[str, dict[str, int]]
    commands_written_again: int
    ledger: dict[str, int]
    deliveries: dict[str, int]
    loaded_events: int
    loaded_seconds: float
    latency_loaded: Latency
    latency_live: Latency

    @property
    def events_per_second(self) -> float:
        """Events decided per second of catching up, from the first request to the last commit."""
        return self.loaded_events / self.loaded_seconds if self.loaded_seconds else 0.0

    def decisions_by_outcome(self) -> dict[str, int]:
        """Decisions of all triggers together."""
        totals: dict[str, int] = {}
        for outcomes in self.decisions.values():
            for outcome, count in outcomes.items():
                totals[outcome] = totals.get(outcome, 0) + count
        return totals


def latency(samples_ms: Sequence[float]) -> Latency:
    """Nearest-rank percentiles; NaN of nothing."""
    ranked = sorted(samples_ms)

    def rank(share: float) -> float:
        return ranked[math.ceil(share * len(ranked)) - 1] if ranked else math.nan

    return Latency(samples=len(ranked), p50_ms=rank(0.50), p99_ms=rank(0.99))


def problems(summary: Summary) -> list[str]:
    """What does not add up; empty when every event and every send is accounted for."""
    refused = sum(summary.refused.values())
    sends = sum(sum(channels.values()) for channels in summary.sends.values())
    decided = summary.decisions_by_outcome()
    sent = sum(decided.get(outcome, 0) for outcome in ("sent", "offered", "handed_off"))
    # What came under an old id is forwarded, and then folded like everything else.
    folded = sum(n for outcome, n in summary.folded.items() if outcome != "forwarded")
    # Ingest keeps a sample of what it refused among the dead letters; they are no loss.
    lost = sum(n for code, n in summary.dead_letters.items() if not code.startswith("ingest:"))
    equations = (
        ("accepted + refused", summary.accepted + refused, "sent", summary.sent),
        ("events on the topic", summary.logged, "accepted", summary.accepted),
        ("events folded", folded, "events on the topic", summary.logged),
        ("decisions to send", sent, "send commands", sends),
        ("sends in the ledger", sum(summary.ledger.values()), "send commands", sends),
        ("deliveries", sum(summary.deliveries.values()), "send commands", sends),
        ("dead letters of what was accepted", lost, "none", 0),
        ("profiles in PostgreSQL", summary.people, "people in the log", summary.people_seen),
    )
    return [
        f"{what} ({count:,}) differ from {than} ({wanted:,})"
        for what, count, than, wanted in equations
        if count != wanted
    ]


def _counts(title: str, rows: Mapping[str, object]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, min_width=44)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    return table


def _matrix(title: str, head: str, rows: Mapping[str, Mapping[str, int]]) -> Table:
    columns = sorted({name for counts in rows.values() for name in counts})
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column(head, style="cyan", footer="all")
    for column in columns:
        total = sum(counts.get(column, 0) for counts in rows.values())
        table.add_column(column, justify="right", footer=f"{total:,}")
    for name in sorted(rows):
        table.add_row(name, *(f"{rows[name].get(column, 0):,}" for column in columns))
    return table


def _milliseconds(measured: Latency) -> str:
    if not measured.samples:
        return "no command"
    return f"{measured.p50_ms:,.0f} / {measured.p99_ms:,.0f} ms of {measured.samples:,}"


def render(summary: Summary) -> RenderableType:
    """The summary as tables for a terminal."""
    events: dict[str, object] = {"lines sent": summary.sent, "accepted": summary.accepted}
    events |= {f"refused: {code}": count for code, count in sorted(summary.refused.items())}
    events |= dict(sorted(summary.folded.items()))
    events |= {f"dead letter: {code}": count for code, count in summary.dead_letters.items()}
    profile = {
        "people": summary.people,
        "tag values written": summary.tag_values,
        "deliveries they knew of in time": summary.messages_accepted,
    }
    sent: dict[str, object] = {"commands written again": summary.commands_written_again}
    sent |= {f"ledger: {state}": n for state, n in sorted(summary.ledger.items())}
    sent |= {f"delivered: {status}": n for status, n in sorted(summary.deliveries.items())}
    speed = {
        "events/s from request to decision": f"{summary.events_per_second:,.0f}",
        "ingest to send command, catching up, p50 / p99": _milliseconds(summary.latency_loaded),
        "ingest to send command, live pace, p50 / p99": _milliseconds(summary.latency_live),
    }
    return Group(
        _counts("Events", events),
        _counts("Profiles in PostgreSQL", profile),
        _matrix("Decisions", "trigger", summary.decisions),
        _counts("Refused or put off by a cap", summary.caps),
        _matrix("Send commands", "trigger", summary.sends),
        _counts("Deliveries", sent),
        _counts("Speed", speed),
    )
