"""`cuestream jobs run`: what it says of what was found."""

import pytest
from typer.testing import CliRunner

from services.cli.jobs import lines_of
from services.cli.main import app
from services.profile_store.jobs.running import Ended
from services.runtime.process import free_port

COUNTS = {"1": 2, "2": 3, "3": 4, "4": 5, "5": 6}
CUTS = {
    "cuts": [1.0, 2.5, 3.0, 4.0],
    "cuts_before": [1.0, 2.0, 3.0, 4.0],
    "rule": "lte",
    "people": {"lte": COUNTS, "lt_next": COUNTS},
}


def test_cuts_are_shown_beside_those_before_with_the_people_at_each_score() -> None:
    report = {"people": 20, "sampled": True, "revision": 7, "tags": {"score": CUTS}}
    assert list(lines_of(Ended(outcome="published", report=report))) == [
        "score",
        "  cuts 1 2.5 3 4, before 1 2 3 4",
        "  by lte people at 1:2 2:3 3:4 4:5 5:6, chosen",
        "  by lt_next people at 1:2 2:3 3:4 4:5 5:6",
        "20 people, a sample of them taken",
        "published in revision 7",
    ]


def test_a_fit_that_is_not_published_is_shown_with_the_reason() -> None:
    told = {"parameters": {"r": 0.5}, "figures": {"people": 900.0}, "refused": ["b ran away"]}
    forecasts = {"expected": {"days": 8.0, "expected": 90.5, "came": 100.0, "error": -0.095}}
    report = {"people": 900, "tags": {"alive": told}, "forecasts": forecasts}
    assert list(lines_of(Ended(outcome="refused", report=report))) == [
        "alive",
        "  parameters r 0.5",
        "  figures people 900",
        "  not published: b ran away",
        "expected forecast: days 8, expected 90.5, came 100, error -0.095",
        "900 people",
        "refused",
    ]


@pytest.mark.embedded
def test_a_database_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    away = f"postgresql+asyncpg://nobody:secret@127.0.0.1:{free_port()}/none"
    monkeypatch.setenv("CUESTREAM_DATABASE_URL", away)
    done = CliRunner().invoke(app, ["jobs", "run", "rfm"])
    assert done.exit_code == 1
    assert "database" in done.output
    assert "Traceback" not in done.output
    assert "secret" not in done.output
