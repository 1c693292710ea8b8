"""The demo's summary: percentiles, the equations that must hold, what the terminal shows."""

import math
from dataclasses import dataclass
from io import StringIO

import msgspec
import pytest
from rich.console import Console

from services.cli.summary import Summary, latency, problems, render

GOOD = Summary(
    file="sample.csv.gz",
    sent=100,
    accepted=70,
    refused={"missing_identity": 30},
    logged=70,
    folded={"applied": 66, "duplicate": 3, "late": 1},
    dead_letters={"ingest: missing_identity": 30},
    people=5,
    people_seen=5,
    tag_values=40,
    messages_accepted=9,
    decisions={"welcome": {"sent": 5, "reentry": 60}, "thanks": {"sent": 4, "cap": 2}},
    caps={"marketing_daily": 2},
    sends={"welcome": {"log": 5}, "thanks": {"log": 4}},
    commands_written_again=0,
    ledger={"accepted": 9},
    deliveries={"accepted": 9},
    loaded_events=60,
    loaded_seconds=2.0,
    latency_loaded=latency([10.0, 20.0, 900.0]),
    latency_live=latency([]),
)


@dataclass
class Change:
    """One wrong count and the word that must stand in the complaint."""

    field: str
    value: object
    word: str


def test_percentiles_are_nearest_rank() -> None:
    measured = latency([float(n) for n in range(1, 101)])
    assert (measured.p50_ms, measured.p99_ms, measured.samples) == (50.0, 99.0, 100)
    assert latency([7.0]).p99_ms == 7.0
    assert math.isnan(latency([]).p50_ms)


def test_counts_that_agree_are_no_problem() -> None:
    assert problems(GOOD) == []
    assert GOOD.events_per_second == 30.0
    assert GOOD.decisions_by_outcome() == {"sent": 9, "reentry": 60, "cap": 2}


def test_offers_tasks_and_events_forwarded_add_up_like_sends_and_events() -> None:
    journeys = msgspec.structs.replace(
        GOOD,
        folded={**GOOD.folded, "forwarded": 7},
        decisions={"welcome": {"sent": 5, "entered": 9}, "thanks": {"offered": 3, "handed_off": 1}},
        sends={"welcome": {"log": 5}, "thanks": {"webhook": 4}},
    )
    assert problems(journeys) == []


@pytest.mark.parametrize(
    "change",
    [
        Change("sent", 101, "accepted + refused"),
        Change("logged", 69, "on the topic"),
        Change("folded", {"applied": 69}, "folded"),
        Change("sends", {"welcome": {"log": 9}, "thanks": {"log": 1}}, "decisions to send"),
        Change("ledger", {"accepted": 8}, "ledger"),
        Change("deliveries", {"accepted": 8}, "deliveries"),
        Change("dead_letters", {"triggers: bad_json": 1}, "dead letters"),
        Change("people", 4, "profiles"),
    ],
    ids=lambda change: change.field,
)
def test_a_count_that_is_off_is_named(change: Change) -> None:
    wrong = msgspec.structs.replace(GOOD, **{change.field: change.value})
    assert any(change.word in problem for problem in problems(wrong))


def test_the_terminal_shows_every_number() -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(render(GOOD))
    text = console.export_text()
    for shown in ("missing_identity", "duplicate", "reentry", "marketing_daily", "20 / 900 ms"):
        assert shown in text
    assert "no command" in text
