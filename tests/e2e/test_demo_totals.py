"""`cuestream demo` on the bundled sample against an independent pass over the same file."""

import pytest

from services.cli.demo import bundled_sample
from tests.e2e.demo_check import Ran, differences, run_demo
from tests.e2e.retail_pandas import Caps, Oracle

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.timeout(420),
    # One run for all tests: under xdist they have to be in one process.
    pytest.mark.xdist_group("demo"),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The demo's only run."""
    return run_demo(tmp_path_factory.mktemp("demo"), file=None, timeout_seconds=300.0)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """What the sample must come to."""
    return Oracle(bundled_sample())


def test_the_demo_ends_well_and_accounts_for_every_event(ran: Ran) -> None:
    assert ran.code == 0, ran.printed
    assert "every event and every send is accounted for" in ran.printed


def test_every_total_send_and_tag_value_agrees_with_the_file(ran: Ran, oracle: Oracle) -> None:
    assert differences(ran, oracle) == []


def test_the_sample_exercises_every_kind_of_refusal(oracle: Oracle) -> None:
    outcomes = {name for counts in oracle.decisions.values() for name in counts}
    assert outcomes == {"sent", "audience", "dedup", "reentry", "cap", "expired"}
    assert set(oracle.policies) == {"marketing_daily", "marketing_weekly", "order_thanks_monthly"}


@pytest.mark.parametrize(
    "caps", [Caps(in_24h=4), Caps(in_week=6), Caps(thanks_in_month=5)], ids=repr
)
def test_a_cap_that_is_off_by_one_would_be_noticed(ran: Ran, caps: Caps) -> None:
    wrong = differences(ran, Oracle(bundled_sample(), caps))
    assert any(difference.startswith("sends:") for difference in wrong)


def test_latency_was_measured_while_catching_up_and_at_a_live_pace(ran: Ran) -> None:
    assert ran.summary["latency_loaded"]["samples"] > 1000
    assert ran.summary["latency_live"]["samples"] > 50
    assert 0 < ran.summary["latency_live"]["p50_ms"] <= ran.summary["latency_live"]["p99_ms"]
