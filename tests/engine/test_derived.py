"""Derived tags, recency and tenure: against a plain computation, by events and by time alone."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Tag
from services.contracts.time import DAY, HOUR, MINUTE, SECOND
from services.triggers.engine import compile_rules
from services.triggers.engine.conditions import ReadTag
from services.triggers.engine.person import tag_values
from services.triggers.engine.state import new_state
from tests.engine.build import NOON, Log, at, bundle, log_of, tag, trigger
from tests.engine.tagging import TAGS, Did, derived, instants, values

WATCHED = ("quiet", "size", "fresh", "loyal", "stage", "mean")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([SECOND, 5 * MINUTE, 11 * MINUTE, 23 * HOUR, DAY, 4 * DAY, 65 * DAY]),
        st.sampled_from(["order", "order", "refund", "visit", "tick"]),
        st.sampled_from([0.0, 100.0, 400.5, 500.0, 1999.99, 2000.0]),
    ),
    max_size=7,
)
RULES = {
    watched: compile_rules(
        bundle(*TAGS, trigger("t", entry={"tag_change": {"tag": watched, "change": "changed"}}))
    )
    for watched in WATCHED
}


@settings(max_examples=40, deadline=None)
@given(STEPS, st.sampled_from(WATCHED))
def test_every_value_and_every_change_is_as_computed_plainly(
    steps: list[tuple[int, str, float]], watched: str
) -> None:
    log, now = Log(rules=RULES[watched], reload=True), NOON
    did: list[Did] = []
    seen, expected = values(did, now)[watched], list[str]()
    for after, name, amount in steps:
        for instant in instants(did, now, now + after):
            if (value := values(did, instant)[watched]) != seen:
                seen = value
                expected.append(f"tag_change@{instant}")
        now += after
        if name == "tick":
            log.wake(now)
        else:
            log.event(name, {"amount": amount}, now=now)
            did.append(Did(now, name, amount))
            if (value := values(did, now)[watched]) != seen:
                seen = value
                expected.append(f"event-{log.sent_events}")
        assert tag_values(log.state, log.rules, now) == values(did, now)
        assert {one.id: log.tag(one.id) for one in TAGS} == values(did, now)
    assert sorted(one.event_id for one in log.out.decisions) == sorted(expected)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_somebody_who_is_woken_only_when_they_ask_for_it_misses_no_change(
    steps: list[tuple[int, str, float]],
) -> None:
    logs = [Log(rules=RULES["stage"]) for _ in range(2)]
    now = NOON
    for after, name, amount in [*steps, (90 * DAY, "tick", 0.0)]:
        now += after
        # The one is looked at just when it wants to be, the other late, by the next record.
        while (due := logs[0].state.wake_at) is not None and due <= now:
            logs[0].wake(due)
        for log in logs:
            log.wake(now) if name == "tick" else log.event(name, {"amount": amount}, now=now)
    told = [sorted(one.event_id for one in log.out.decisions) for log in logs]
    assert told[0] == told[1]


def test_recency_and_tenure_count_whole_days_of_24_hours() -> None:
    log = log_of(*TAGS)
    assert (log.tag("quiet"), log.tag("known")) == (None, None)
    log.event("order")
    for later, days in ((0, 0), (DAY - 1, 0), (DAY, 1), (2 * DAY - 1, 1), (2 * DAY, 2)):
        assert log.tag("quiet", NOON + later) == log.tag("known", NOON + later) == days
    log.event("order", now=NOON + 3 * DAY)
    log.event("order", occurred_at=NOON + DAY)
    assert (log.tag("quiet"), log.tag("known")) == (0, 3)
    log.event("order", occurred_at=NOON - 9 * DAY)
    assert (log.tag("quiet"), log.tag("known")) == (0, 12)


def test_an_event_dated_a_little_ahead_is_of_today() -> None:
    log = log_of(*TAGS)
    log.event("order", occurred_at=NOON + 4 * MINUTE)
    assert (log.tag("quiet"), log.tag("known")) == (0, 0)


def test_at_risk_is_noticed_at_the_instant_with_no_look_in_between() -> None:
    watching = trigger(
        "t",
        entry={"tag_change": {"tag": "stage", "change": "entered", "op": "eq", "value": "lost"}},
    )
    lost = {"label": "lost", "when": {"tag": "quiet", "op": "gt", "value": 59.5}}
    log = log_of(*TAGS[:1], derived("stage", cases=[lost]), watching)
    log.event("visit")
    log.wake(NOON + 2 * SECOND)
    # 59.5 days are 60 whole ones, and nobody looks on any day before.
    assert log.state.wake_at == NOON + 60 * DAY
    assert log.wake(NOON + 60 * DAY - 1) == []
    (sent,) = log.wake(NOON + 60 * DAY)
    assert sent.event_id == f"tag_change@{NOON + 60 * DAY}"
    log.wake(NOON + 61 * DAY)
    assert log.state.wake_at is None


def test_an_age_is_of_the_persons_own_calendar() -> None:
    age = derived("age", age_of="birthday")
    log = log_of(age)
    assert log.tag("age") is None
    log.identify({"birthday": "2000-02-29T00:00:00Z", "timezone": "Asia/Shanghai"})
    turns = at("2026-02-28T00:00:00+08:00")
    assert (log.tag("age", turns - 1), log.tag("age", turns)) == (25, 26)
    for wrong in ("2000-13-01", "yesterday", 2000, "1800-01-01", "2027-01-01"):
        log.identify({"birthday": wrong})
        assert log.tag("age") is None


def test_a_birthday_changes_an_age_on_time_whatever_the_zone() -> None:
    band = derived(
        "band",
        bands={
            "of": "age",
            "bands": [{"label": "young", "from": 0, "below": 30}, {"label": "old", "from": 30}],
        },
    )
    log = log_of(
        derived("age", age_of="birthday"),
        band,
        trigger("t", entry={"tag_change": {"tag": "band", "change": "changed"}}),
    )
    log.reload = True
    (told,) = log.identify({"birthday": "1997-01-01", "timezone": "America/Los_Angeles"})
    assert (told.event_id, log.tag("band")) == ("event-1", "young")
    # It is looked at when the day has begun anywhere, and again when it has begun there.
    turns = at("2027-01-01T00:00:00-08:00")
    while (due := log.state.wake_at) is not None and due < turns:
        assert log.wake(due) == []
    (told,) = log.wake(turns)
    assert (told.event_id, log.tag("band")) == (f"tag_change@{turns}", "old")


def test_somebody_who_goes_east_is_older_earlier() -> None:
    log = log_of(
        derived("age", age_of="birthday"),
        trigger("t", entry={"tag_change": {"tag": "age", "change": "changed"}}),
    )
    log.identify({"birthday": "2000-07-01"}, context={"timezone": "America/Los_Angeles"})
    log.event("landed", now=NOON + DAY, context={"timezone": "Asia/Tokyo"})
    turns = at("2026-07-01T00:00:00+09:00")
    while (due := log.state.wake_at) is not None and due < turns:
        assert log.wake(due) == []
    assert [one.event_id for one in log.wake(turns)] == [f"tag_change@{turns}"]


def test_a_child_who_is_to_come_is_of_an_age_from_their_birth_on() -> None:
    log = log_of(
        derived("age", age_of="child"),
        trigger("t", entry={"tag_change": {"tag": "age", "change": "entered", "op": "exists"}}),
    )
    log.identify({"child": "2026-09-01"})
    born = at("2026-09-01T00:00:00")
    assert log.tag("age", born - 1) is None
    (told,) = log.wake(born + DAY)
    assert told.event_id == f"tag_change@{born}"


def test_the_trait_that_a_journey_sets_is_noticed_too() -> None:
    log = log_of(
        derived("plan", trait="plan"),
        trigger("sets", steps=[{"tag": {"set": "plan", "value": "gold"}}]),
        trigger(
            "t",
            entry={"tag_change": {"tag": "plan", "change": "entered", "op": "eq", "value": "gold"}},
        ),
    )
    log.event("order")
    assert log.tag("plan") == "gold"
    log.wake(NOON + 1)
    assert [one.trigger for one in log.out.decisions if one.outcome == "sent"] == ["t"]


@pytest.mark.parametrize("value", ["gold", 7, 2.5, True])
def test_a_trait_is_read_as_it_is(value: Any) -> None:
    log = log_of(derived("t", trait="a.b"))
    log.identify({"a": {"b": value}})
    assert log.tag("t") == value
    log.identify({"a": {"b": [value]}})
    assert log.tag("t") is None


def test_a_number_divided_by_nothing_is_none() -> None:
    log = log_of(
        tag("spent", "sum"),
        tag("last", "last"),
        derived("share", ratio={"of": "spent", "to": "last"}),
        derived("index", ratio={"of": "spent", "to": 80}),
    )
    assert (log.tag("share"), log.tag("index")) == (None, 0.0)
    for amount, share, index in ((100, 1.0, 1.25), ("text", None, 1.25), (0, None, 1.25)):
        log.event("order", {"amount": amount})
        assert (log.tag("share"), log.tag("index")) == (share, index)
    log.event("order", {"amount": 1e-15})
    assert log.tag("share") is None


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("lte", 0, 1), ("lte", 1, 1), ("lte", 1.5, 2), ("lte", 2, 2), ("lte", 4, 4), ("lte", 5, 5),
        ("lt_next", 1, 1), ("lt_next", 1.9, 1), ("lt_next", 2, 2), ("lt_next", 4.9, 4),
        ("lt_next", 5, 5),
    ],
)  # fmt: skip
def test_the_two_rules_of_scores_differ_between_a_cut_and_the_next_number(
    rule: str, value: float, expected: int
) -> None:
    cuts = {"of": "last", "cuts": [1, 2, 3, 4], "rule": rule}
    log = log_of(
        tag("last", "last"),
        derived("good", score=cuts),
        derived("bad", score={**cuts, "reverse": True}),
    )
    log.event("order", {"amount": value})
    assert (log.tag("good"), log.tag("bad")) == (expected, 6 - expected)


def test_equal_cuts_leave_scores_out() -> None:
    log = log_of(tag("last", "last"), derived("s", score={"of": "last", "cuts": [1, 1, 1, 2]}))
    scores = [(log.event("order", {"amount": n}), log.tag("s"))[1] for n in (1, 2, 3)]
    assert scores == [1, 4, 5]


def test_refunds_are_taken_off_in_the_bucket_where_they_happen() -> None:
    net = tag("net", "sum", window="2h", minus={"events": ["refund"], "value": "back"})
    kept = tag("kept", window="2h", minus={"events": ["refund"], "where": {"property": "all",
               "op": "eq", "value": True}})  # fmt: skip
    log = log_of(net, kept)
    log.reload = True
    log.event("order", {"amount": 100})
    log.event("refund", {"back": 30, "all": False}, now=NOON + HOUR)
    assert (log.tag("net"), log.tag("kept")) == (70.0, 1)
    log.event("refund", {"back": "much", "all": True})
    assert (log.tag("net"), log.tag("kept"), log.out.skipped["tag_value"]) == (70.0, 0, 1)
    assert log.tag("net", NOON + 3 * HOUR) == -30.0
    assert log.tag("net", NOON + 4 * HOUR) == 0.0


@pytest.mark.parametrize("changed", [{"minus": {"events": ["return"]}}, {"minus": None}])
def test_a_tag_that_takes_other_things_off_starts_anew(changed: dict[str, Any]) -> None:
    net = tag("net", minus={"events": ["refund"]})
    log = log_of(net)
    log.event("order")
    log.publish(bundle(tag("net", **changed), revision=2))
    log.wake(NOON + HOUR)
    assert log.tag("net") == 0


def test_a_tag_over_another_moment_starts_anew() -> None:
    log = log_of(tag("m", "last", value=None, moment="day"))
    log.event("order")
    log.publish(bundle(tag("m", "last", value=None, moment="month"), revision=2))
    log.wake(NOON + HOUR)
    assert log.tag("m") is None


def test_what_the_clock_showed_is_of_the_persons_zone_at_the_event() -> None:
    log = log_of(
        tag("hours", "top_k", value=None, moment="hour", k=1),
        tag("days", "distinct", value=None, moment="day"),
        tag("weekday", "last", value=None, moment="weekday"),
        tag("month", "first", value=None, moment="month"),
    )
    late = at("2026-06-30T23:30:00")
    log.event(now=late)
    log.event(now=late + HOUR)
    assert [log.tag(one) for one in ("hours", "days", "weekday", "month")] == [
        [0], 2, "wed", "2026-06",
    ]  # fmt: skip
    log.event(now=late + 2 * HOUR, context={"timezone": "Asia/Tokyo"})
    log.event(now=late + 3 * HOUR, occurred_at=late + 2 * HOUR)
    # 10:30 twice in Tokyo, on the first of July.
    assert (log.tag("hours"), log.tag("days"), log.tag("weekday")) == ([10], 2, "wed")


def test_a_tag_of_cases_may_ask_for_traits() -> None:
    log = log_of(
        derived(
            "who",
            cases=[
                {"label": "home", "when": {"trait": "address.city", "op": "eq", "value": "Bern"}},
                {"label": "some", "when": {"trait": "address", "op": "exists"}},
            ],
        )
    )
    assert log.tag("who") is None
    for city, label in (("Bern", "home"), ("Basel", "some")):
        log.identify({"address": {"city": city}})
        assert log.tag("who") == label


def test_nobody_computes_a_derived_tag_that_is_not_asked_for() -> None:
    log = log_of(*TAGS, trigger("t", entry={"events": ["visit"]}))
    log.event("order")
    asked: list[str] = []

    def asks(name: str) -> ReadTag:
        return lambda state, now: asked.append(name)

    for name in log.rules.read_tag:
        log.rules.read_tag[name] = asks(name)
    profiles = len(log.out.profiles)
    log.event("order", now=NOON + SECOND // 2)
    log.event("visit")
    assert (asked, len(log.out.profiles)) == ([], profiles)


def test_the_same_state_reads_the_same_again_and_is_kept_in_a_few_bytes() -> None:
    log = log_of(*TAGS)
    log.event("order", {"amount": 5})
    before = tag_values(log.state, log.rules, NOON + DAY)
    assert before == tag_values(log.state, log.rules, NOON + DAY)
    assert len(log.state.tags) == sum(one.derive is None for one in TAGS)
    assert tag_values(new_state("nobody"), log.rules, NOON)["stage"] == "new"


def test_a_definition_that_means_something_else_takes_everyone_as_they_stand() -> None:
    def defined(cut: float) -> tuple[Tag, ...]:
        cuts = [cut, 10, 20, 30]
        return (tag("orders"), derived("s", score={"of": "orders", "cuts": cuts}))

    watching = trigger("t", entry={"tag_change": {"tag": "s", "change": "changed"}})
    log = log_of(*defined(1), watching)
    log.event("order")
    log.event("order")
    assert [one.event_id for one in log.out.decisions] == ["event-2"]
    log.publish(bundle(*defined(0), watching, revision=2))
    log.publish(bundle(*defined(5), watching, revision=3))
    assert (log.wake(NOON + HOUR), log.tag("s")) == ([], 1)
    assert [log.event("order") for _ in range(3)] == [[], [], []]
    assert len(log.event("order")) == 1
