"""Segments: who is in them, when they come in and go out, and what follows from that."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR
from services.triggers.engine import check
from services.triggers.engine.explain import explain
from tests.engine.build import NOON, Log, bundle, lifecycle, log_of, segment, tag, trigger

ORDERS = tag("orders", window="30d")
BUYERS = segment("buyers", {"tag": "orders", "op": "gte", "value": 2})
WELCOME = trigger("welcome", entry={"events": ["$segment_entered"]})
GONE = trigger("gone", entry={"events": ["$segment_left"]})


def log(*definitions: Any, **fields: Any) -> Log:
    made = log_of(*definitions)
    made.reload = True
    return made


def entered_by(log: Log) -> list[tuple[str, str]]:
    return [(one.trigger, one.event_id) for one in log.out.decisions]


def members(log: Log) -> tuple[str, ...]:
    groups, membership = log.rules.groups, log.state.membership
    assert groups is not None
    assert membership is not None
    return groups.members(membership)


def test_who_comes_in_has_an_event_of_it_in_the_same_fold() -> None:
    it = log(ORDERS, BUYERS, WELCOME)
    assert it.event() == []
    decided = it.event(id_="second")
    assert [one.outcome for one in decided] == [Outcome.SENT]
    assert decided[0].event_id == "$segment_entered/buyers@second"
    assert members(it) == ("buyers",)


def test_the_event_says_which_segment() -> None:
    where = {"property": "segment", "op": "eq", "value": "buyers"}
    others = segment("others", {"tag": "orders", "op": "gte", "value": 1})
    it = log(
        ORDERS, BUYERS, others, trigger(entry={"events": ["$segment_entered"], "where": where})
    )
    assert it.event() == []
    assert len(it.event()) == 1


def test_time_takes_people_out_with_no_event_needed() -> None:
    it = log(ORDERS, BUYERS, GONE)
    it.event(now=NOON)
    it.event(now=NOON + 3 * DAY)
    leaves_at = NOON + 31 * DAY - 12 * HOUR
    assert it.wake(leaves_at - 1) == []
    assert members(it) == ("buyers",)
    decided = it.wake(leaves_at)
    assert [one.event_id for one in decided] == [f"$segment_left/buyers@{leaves_at}"]
    assert members(it) == ()


def test_somebody_who_was_away_long_goes_through_every_instant() -> None:
    twice = segment("once", {"tag": "orders", "op": "eq", "value": 1})
    it = log(ORDERS, twice, WELCOME, GONE)
    it.event(now=NOON)
    it.event(now=NOON + DAY)
    decided = it.wake(NOON + 90 * DAY)
    first, second = NOON + 31 * DAY - 12 * HOUR, NOON + 32 * DAY - 12 * HOUR
    assert [one.event_id for one in decided] == [
        f"$segment_left/once@{second}",
        f"$segment_entered/once@{first}",
    ]


def test_an_exit_listens_to_it() -> None:
    waits = trigger(
        "waits",
        exit={"events": ["$segment_entered"]},
        steps=[{"wait": {"for": "1d"}}, {"send": {"channel": "log"}}],
    )
    it = log(ORDERS, BUYERS, waits)
    it.event()
    decided = it.event(now=NOON + HOUR)
    assert {one.outcome for one in decided} == {Outcome.EXIT}


def test_who_comes_in_by_the_same_event_as_the_way_out_does_not_stay() -> None:
    first = segment("first", {"tag": "orders", "op": "gte", "value": 1})
    it = log(ORDERS, first, trigger("on_order", exit={"events": ["$segment_entered"]}))
    assert [one.outcome for one in it.event()] == [Outcome.EXIT]


def test_a_journey_waits_for_it() -> None:
    waits = trigger(
        "waits",
        entry={"events": ["visit"]},
        steps=[
            {
                "wait_for": {
                    "events": ["$segment_entered"],
                    "within": "7d",
                    "then": [{"send": {"channel": "log"}}],
                }
            }
        ],
    )
    it = log(ORDERS, BUYERS, waits)
    it.event("visit")
    it.event()
    assert Outcome.SENT in {one.outcome for one in it.event()}


def test_an_absence_begins_with_it() -> None:
    entry = {
        "absence": {
            "after": {"events": ["$segment_left"]},
            "without": {"events": ["order"]},
            "within": "1d",
        }
    }
    it = log(ORDERS, BUYERS, trigger(entry=entry))
    it.event(now=NOON)
    it.event(now=NOON)
    left_at = NOON + 31 * DAY - 12 * HOUR
    it.wake(left_at)
    assert [one.outcome for one in it.wake(left_at + DAY)] == [Outcome.SENT]


def test_a_tag_counts_how_often_somebody_came_in() -> None:
    entries = tag("entries", events=["$segment_entered"])
    it = log(ORDERS, BUYERS, entries)
    it.event()
    it.event()
    assert it.tag("entries") == 1


def test_what_the_event_moves_is_looked_at_at_the_next_instant() -> None:
    entries = tag("entries", events=["$segment_entered"])
    again = segment("came_in", {"tag": "entries", "op": "gte", "value": 1})
    it = log(ORDERS, BUYERS, entries, again)
    it.event()
    it.event()
    assert members(it) == ("buyers",)
    assert it.state.wake_at == NOON + 1
    it.wake(NOON + 1)
    assert members(it) == ("buyers", "came_in")


def test_a_late_event_moves_people_and_lets_nobody_in() -> None:
    it = log(ORDERS, BUYERS, WELCOME)
    it.event(now=NOON)
    it.event(now=NOON, occurred_at=NOON - 2 * DAY)
    assert members(it) == ("buyers",)
    assert it.out.decisions == []


def test_a_trait_takes_people_in() -> None:
    gold = segment("gold", {"trait": "tier", "op": "eq", "value": "gold"})
    it = log(gold, WELCOME)
    assert len(it.identify({"tier": "gold"})) == 1
    it.event("anything")
    it.identify({"tier": None})
    assert members(it) == ()


def test_a_trait_that_a_journey_sets_is_looked_at_soon_after() -> None:
    gold = segment("gold", {"trait": "tier", "op": "eq", "value": "gold"})
    sets = trigger("sets", steps=[{"tag": {"set": "tier", "value": "gold"}}])
    it = log(gold, sets, WELCOME)
    it.event()
    assert members(it) == ()
    assert it.state.wake_at == NOON + 1
    assert [one.trigger for one in it.wake(NOON + 1)] == ["welcome"]
    assert members(it) == ("gold",)


def test_new_people_come_in_with_their_first_event_and_not_before_it() -> None:
    nobody = segment("no_orders", {"tag": "orders", "op": "eq", "value": 0})
    first = segment("any_orders", {"tag": "orders", "op": "gte", "value": 1})
    it = log(ORDERS, nobody, first, WELCOME)
    decided = it.event(id_="first")
    assert [one.event_id for one in decided] == ["$segment_entered/any_orders@first"]


def test_publishing_a_segment_puts_people_into_it_without_an_event() -> None:
    it = log(ORDERS, WELCOME)
    it.event()
    it.event()
    it.publish(bundle(ORDERS, WELCOME, BUYERS, revision=2))
    assert it.wake(NOON + HOUR) == []
    assert members(it) == ("buyers",)
    assert it.event() == []


def test_publishing_something_else_leaves_a_segment_at_work() -> None:
    it = log(ORDERS, BUYERS, WELCOME)
    it.event()
    other = segment("others", {"tag": "orders", "op": "gte", "value": 9})
    it.publish(bundle(ORDERS, BUYERS, other, WELCOME, revision=2))
    assert [one.event_id for one in it.event(id_="x")] == ["$segment_entered/buyers@x"]


def test_what_time_changed_before_other_definitions_came_is_an_event_still() -> None:
    it = log(ORDERS, BUYERS, GONE)
    it.event(now=NOON)
    it.event(now=NOON)
    other = segment("any_orders", {"tag": "orders", "op": "gte", "value": 1})
    stage = lifecycle("stage", ["a", "b"], {"to": "b", "when": {"trait": "x", "op": "exists"}})
    it.publish(bundle(ORDERS, BUYERS, other, stage, GONE, revision=2))
    left_at = NOON + 31 * DAY - 12 * HOUR
    assert [one.event_id for one in it.wake(left_at + DAY)] == [f"$segment_left/buyers@{left_at}"]
    assert members(it) == ()


def test_a_changed_segment_begins_anew_without_an_event() -> None:
    it = log(ORDERS, BUYERS, WELCOME, GONE)
    it.event()
    it.event()
    more = segment("buyers", {"tag": "orders", "op": "gte", "value": 3})
    before = len(it.out.decisions)
    it.publish(bundle(ORDERS, more, WELCOME, GONE, revision=2))
    it.wake(NOON + HOUR)
    assert members(it) == ()
    assert it.out.decisions[before:] == []


def test_without_segments_nothing_is_remembered() -> None:
    it = log(ORDERS, BUYERS)
    it.event()
    it.publish(bundle(ORDERS, revision=2))
    it.event()
    assert it.state.membership is None


def test_the_profile_names_the_segments() -> None:
    it = log(ORDERS, BUYERS)
    it.event(now=NOON)
    it.event(now=NOON + HOUR)
    assert it.out.profiles[-1].segments == ("buyers",)


def test_a_condition_asks_for_a_segment() -> None:
    it = log(ORDERS, BUYERS, trigger(audience={"segment": "buyers"}))
    refused, sent = *it.event(), *it.event()
    assert refused.outcome is Outcome.AUDIENCE
    assert refused.details == {
        "clause": "audience", "segment": "buyers", "op": "member", "actual": False,
    }  # fmt: skip
    assert sent.outcome is Outcome.SENT
    nobody = log(ORDERS, BUYERS, trigger(audience={"not": {"segment": "buyers"}}))
    assert [nobody.event()[0].outcome, nobody.event()[0].outcome] == [
        Outcome.SENT, Outcome.AUDIENCE,
    ]  # fmt: skip


def test_an_explanation_says_who_is_no_member() -> None:
    it = log(ORDERS, BUYERS, trigger(audience={"segment": "buyers"}))
    it.event()
    told = explain(it.state, "hello", it.rules, it.out.decisions, NOON)
    assert told.sentence.endswith("they are not in segment buyers (audience)")
    (audience,) = [one for one in told.findings if one.kind == "audience"]
    assert [(one.subject, one.name, one.op, one.holds) for one in audience.clauses] == [
        ("segment", "buyers", "member", False)
    ]


def test_an_event_that_moves_nothing_a_segment_reads_does_not_look() -> None:
    it = log(ORDERS, BUYERS, tag("visits", events=["visit"]))
    it.event()
    groups = it.rules.groups
    assert groups is not None
    assert set(groups.hearing) == {"order"}
    assert "visit" not in it.rules.hearing


@pytest.mark.parametrize(
    ("when", "place", "reason"),
    [
        ({"property": "x", "op": "exists"}, "when.property", "there is no event here"),
        ({"all": [{"tag": "nix", "op": "exists"}]}, "when.all[0].tag", "unknown tag"),
        ({"segment": "buyers"}, "when.segment", "unknown segment"),
        ({"tag": "orders", "op": "gte", "value": "x"}, "when.value", "number"),
    ],
)
def test_a_segment_that_cannot_be_right_is_refused(when: Any, place: str, reason: str) -> None:
    ((at, told),) = check(bundle(ORDERS, BUYERS, segment("wrong", when)))
    assert at == f"segments.wrong.{place}"
    assert reason in told


def test_a_clause_over_a_segment_is_checked() -> None:
    problems = check(
        bundle(
            ORDERS,
            BUYERS,
            trigger("a", audience={"segment": "nix"}),
            trigger("b", audience={"segment": "buyers", "op": "eq", "value": 1}),
        )
    )
    assert [place for place, _ in problems] == [
        "triggers.a.audience.segment",
        "triggers.b.audience.op",
    ]
