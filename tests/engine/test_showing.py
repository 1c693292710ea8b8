"""Profiles keep up with labels, scores and ages that time changes."""

from services.contracts.profile import Profile
from services.contracts.time import DAY, HOUR, SECOND
from services.triggers.engine import Rules, compile_rules
from services.triggers.engine.sensing import concerns_everyone
from tests.engine.build import NOON, Log, at, bundle, log_of, tag
from tests.engine.tagging import TAGS, derived

QUIET = tag("quiet", "recency", value=None)
RISK = derived(
    "risk", cases=[{"label": "at_risk", "when": {"tag": "quiet", "op": "gte", "value": 60}}]
)


def played(log: Log, until: int) -> list[Profile]:
    """Wake whenever it is wanted; the profiles handed out by that."""
    before = len(log.out.profiles)
    while (due := log.state.wake_at) is not None and due <= until:
        log.wake(due)
    return log.out.profiles[before:]


def test_a_label_that_time_changes_is_shown_at_that_instant() -> None:
    log = log_of(QUIET, RISK)
    log.reload = True
    log.event()
    assert log.out.profiles[-1].tags == {"quiet": 0, "risk": None}
    (shown,) = played(log, NOON + 100 * DAY)
    assert (shown.as_of, shown.tags) == (NOON + 60 * DAY, {"quiet": 60, "risk": "at_risk"})
    assert log.state.wake_at is None


def test_time_that_changes_no_label_hands_out_no_profile() -> None:
    log = log_of(
        tag("lately", window="2h"),
        derived("level", bands={"of": "lately", "bands": [{"label": "some", "from": 1}]}),
    )
    for minute in range(3):
        log.event(now=NOON + minute * 60 * SECOND)
    log.wake(NOON + 10 * 60 * SECOND)
    shown = played(log, NOON + DAY)
    assert [one.tags for one in shown] == [{"lately": 0, "level": None}]


def test_where_no_tag_is_derived_nobody_is_woken_for_it() -> None:
    log = log_of(QUIET, tag("lately", window="2h"), derived("share", ratio={
        "of": "lately", "to": "quiet"}))  # fmt: skip
    log.event()
    assert (log.state.shown, log.state.wake_at) == (None, None)


def test_an_age_is_shown_from_the_birthday_on() -> None:
    log = log_of(derived("age", age_of="birthday"))
    log.identify({"birthday": "2000-06-11"})
    (shown,) = played(log, NOON + DAY)
    assert (shown.as_of, shown.tags) == (at("2026-06-11T00:00:00"), {"age": 26})


def test_what_an_event_moved_is_not_shown_twice() -> None:
    log = log_of(QUIET, RISK)
    for day in (0, 61, 62):
        log.event(now=NOON + day * DAY)
        log.wake(NOON + day * DAY + HOUR)
    assert [one.tags["risk"] for one in log.out.profiles] == [None, None, None]


def test_other_labels_concern_people_to_whom_nothing_happens() -> None:
    def rules(days: int) -> Rules:
        when = {"tag": "quiet", "op": "gte", "value": days}
        return compile_rules(bundle(QUIET, derived("risk", cases=[{"label": "a", "when": when}])))

    plain, sixty, ninety = compile_rules(bundle(QUIET)), rules(60), rules(90)
    assert concerns_everyone(plain, sixty)
    assert concerns_everyone(sixty, ninety)
    assert not concerns_everyone(sixty, rules(60))
    assert not concerns_everyone(sixty, plain)
    assert not concerns_everyone(plain, compile_rules(bundle(*TAGS[:2])))


def test_labels_that_are_gone_wake_nobody_any_more() -> None:
    log = log_of(QUIET, RISK)
    log.event()
    log.wake(NOON + HOUR)
    due = log.state.wake_at
    assert due == NOON + 60 * DAY
    log.publish(bundle(QUIET, revision=2))
    log.wake(NOON + 61 * DAY)
    assert (log.state.shown, log.state.wake_at) == (None, None)


def test_whoever_goes_over_to_other_labels_shows_them() -> None:
    log = log_of(QUIET)
    log.event()
    log.wake(NOON + 61 * DAY)
    log.publish(bundle(QUIET, RISK, revision=2))
    log.wake(NOON + 62 * DAY)
    assert log.out.profiles[-1].tags == {"quiet": 62, "risk": "at_risk"}
