"""Sends, entries, runs, ids and traits of two people come together."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import compile_rules
from services.triggers.engine.caps import join_sends
from services.triggers.engine.limits import RUNS_BYTES_MAX, RUNS_MAX, SENDS_MAX
from services.triggers.engine.state import Sending, Sent
from tests.engine.build import NOON, bundle, policy, tag, trigger
from tests.engine.people import ANN, BOB, People, people_of

WAYS = [(ANN, BOB), (BOB, ANN)]
DEFER = {"action": "defer"}
SEND = {"send": {"channel": "log"}}
WAITING = [{"wait": {"for": "1d"}}, SEND]


def take_in(people: People, by: str, other: str) -> None:
    people.alias(by, other)
    people.settle()


def sending_of(people: People, name: str) -> Sending:
    sending = people.state(people.home(name)).sending
    assert sending is not None
    return sending


def ends(people: People, name: str) -> list[tuple[Outcome, str]]:
    """What was decided of each event in the person's log."""
    return [(one.outcome, one.event_id) for one in people.told.get(name, [])]


# Sends and caps.


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_caps_count_the_sends_of_both(by: str, other: str) -> None:
    people = people_of(trigger(), policy(limit=3))
    people.event(ANN)
    people.event(BOB)
    take_in(people, by, other)
    assert [one.outcome for _ in range(2) for one in people.event(by)] == [
        Outcome.SENT,
        Outcome.CAP,
    ]


def test_a_cap_that_both_went_past_is_free_when_enough_have_left() -> None:
    people = people_of(trigger(when_capped=DEFER), policy(limit=2))
    for name in (ANN, BOB):
        people.event(name)
        people.now += 1
        people.event(name)
    take_in(people, BOB, ANN)
    (refused,) = people.event(BOB)
    assert refused.details["count"] == 4
    assert refused.details["frees_at"] == NOON + 1 + DAY  # three of the four have left then


def test_verdicts_add_up() -> None:
    people = people_of(trigger(), policy(limit=2))
    people.event(ANN)
    people.event(BOB)
    of_ann, of_bob = people.out.commands
    people.now += MINUTE
    people.delivery(BOB, of_bob.send_id, "failed")
    people.delivery(ANN, of_ann.send_id)
    take_in(people, BOB, ANN)
    sending = sending_of(people, BOB)
    assert (sending.accepted, sending.failed) == (1, 1)
    assert sending.last_message_at == NOON + MINUTE


def test_past_the_bound_a_cap_keeps_what_it_has_to_count() -> None:
    rules = compile_rules(
        bundle(policy("rare", 2, "30d", kind="trigger", value="r"), trigger("r"), policy("all", 5))
    )

    def sent(at: int, name: str) -> Sent:
        return Sent(at=NOON + at, key=at, trigger=name, channel="log", category="marketing")

    mine = [sent(0, "r"), sent(1, "r"), *(sent(n, "t") for n in range(2, SENDS_MAX))]
    theirs = [sent(-1, "r"), *(sent(n, "t") for n in range(SENDS_MAX, SENDS_MAX + 50))]
    both = join_sends(mine, theirs, rules.caps, NOON + HOUR, SENDS_MAX)
    assert len(both) == SENDS_MAX
    assert [one.at - NOON for one in both[:3]] == [0, 1, SENDS_MAX + 50 - (SENDS_MAX - 2)]


# Dedup and re-entry.


@pytest.mark.parametrize(("by", "other"), WAYS)
@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"dedup": {"key": ["order"], "window": "7d"}}, Outcome.DEDUP),
        ({"reentry": {"mode": "once"}}, Outcome.REENTRY),
        ({"reentry": {"mode": "cooldown", "cooldown": "7d"}}, Outcome.REENTRY),
        (
            {
                "reentry": {"mode": "once_per_key"},
                "dedup": {"key": ["order"], "window": "1h"},
            },
            Outcome.REENTRY,
        ),
    ],
)
def test_what_one_was_sent_is_not_sent_again_to_the_other(
    by: str, other: str, fields: dict[str, Any], outcome: Outcome
) -> None:
    people = people_of(trigger(**fields))
    people.event(ANN, properties={"order": 1})
    people.event(BOB, properties={"order": 2})
    take_in(people, by, other)
    people.now += DAY
    for order in (1, 2):
        assert [one.outcome for one in people.event(by, properties={"order": order})] == [outcome]


@pytest.mark.parametrize(("by", "other"), WAYS)
@pytest.mark.parametrize("reentry", [{"mode": "once"}, {"mode": "cooldown", "cooldown": "7d"}])
def test_whoever_entered_under_either_name_has_entered(
    by: str, other: str, reentry: dict[str, str]
) -> None:
    people = people_of(trigger(reentry=reentry))
    people.event(ANN)
    take_in(people, by, other)
    assert [one.outcome for one in people.event(by)] == [Outcome.REENTRY]


@pytest.mark.parametrize(("by", "other"), WAYS)
@pytest.mark.parametrize("first", [ANN, BOB])
@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"dedup": {"key": ["order"], "window": "7d"}}, Outcome.DEDUP),
        ({"reentry": {"mode": "once"}}, Outcome.REENTRY),
        ({"steps": WAITING, "reentry": {"mode": "once"}}, Outcome.REENTRY),
        ({"steps": WAITING, "dedup": {"key": ["order"], "window": "7d"}}, Outcome.DEDUP),
    ],
)
def test_of_two_runs_that_one_person_would_not_have_the_earlier_stays(
    by: str, other: str, first: str, fields: dict[str, Any], outcome: Outcome
) -> None:
    second = BOB if first == ANN else ANN
    people = people_of(
        trigger(when_capped={**DEFER, "expires_after": "30d"}, **fields),
        trigger("other", entry={"events": ["visit"]}),
        policy("cap", 2, "2d"),
    )
    for name in (ANN, BOB):
        people.event(name, "visit")
        people.event(name, "visit")
    people.event(first, properties={"order": 1}, id_="first")
    people.now += MINUTE
    people.event(second, properties={"order": 1}, id_="second")
    take_in(people, by, other)
    assert (outcome, "second") in ends(people, by)
    (run,) = sending_of(people, by).runs
    assert run.event_id == "first"
    assert run.entered_as == ("" if by == first else first)
    people.now += 5 * DAY
    people.wake(by)
    assert (Outcome.SENT, "first") in ends(people, by)


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_of_two_at_one_instant_the_persons_own_stays(by: str, other: str) -> None:
    people = people_of(trigger(steps=WAITING, reentry={"mode": "once"}))
    for name in (ANN, BOB):
        people.event(name, id_=f"of-{name}")
    take_in(people, by, other)
    (run,) = sending_of(people, by).runs
    assert run.event_id == f"of-{by}"


def test_runs_that_one_person_may_have_both_of_stay_both() -> None:
    people = people_of(trigger(steps=WAITING, dedup={"key": ["order"], "window": "7d"}))
    people.event(ANN, properties={"order": 1})
    people.event(BOB, properties={"order": 2})
    take_in(people, BOB, ANN)
    assert [run.entered_as for run in sending_of(people, BOB).runs] == ["", ANN]


def test_what_is_held_meets_what_the_other_was_sent() -> None:
    people = people_of(trigger(dedup={"key": ["order"], "window": "7d"}), policy(limit=9))
    people.event(ANN, properties={"order": 1})
    people.alias(BOB, ANN)
    people.now += MINUTE
    people.event(BOB, properties={"order": 1})
    people.event(BOB, properties={"order": 2})
    people.settle()
    assert people.outcomes(BOB) == [Outcome.MERGE, Outcome.MERGE, Outcome.DEDUP, Outcome.SENT]


# Runs.


def test_a_run_of_the_other_goes_on_under_the_name_it_entered_by() -> None:
    people = people_of(trigger(steps=[SEND, *WAITING]))
    people.event(ANN)
    take_in(people, BOB, ANN)
    people.now += DAY
    people.wake(BOB)
    first, second = people.out.commands
    assert (first.person, second.person) == (ANN, BOB)
    assert first.run_id == second.run_id
    assert first.send_id != second.send_id


def test_an_event_that_the_run_waits_for_may_come_under_either_id() -> None:
    awaits = {"wait_for": {"events": ["visit"], "within": "1d", "then": [SEND]}}
    for name in (ANN, BOB):
        people = people_of(trigger(steps=[awaits]))
        people.event(ANN)
        take_in(people, BOB, ANN)
        people.event(name, "visit")
        people.settle()
        assert Outcome.SENT in people.outcomes(BOB)


def test_an_exit_ends_what_entered_under_the_other_id() -> None:
    people = people_of(trigger(steps=WAITING, exit={"events": ["out"], "key": ["order"]}))
    people.event(ANN, properties={"order": 1}, id_="e1")
    people.event(ANN, properties={"order": 2}, id_="e2")
    take_in(people, BOB, ANN)
    people.event(BOB, "out", {"order": 1})
    assert ends(people, BOB) == [(Outcome.EXIT, "e1")]


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_of_an_exclusive_group_the_better_stays(by: str, other: str) -> None:
    people = people_of(
        trigger("low", steps=WAITING, group="g", priority=10, entry={"events": ["visit"]}),
        trigger("high", steps=WAITING, group="g", priority=90),
    )
    people.event(ANN, "visit")
    people.now += 1
    people.event(BOB)
    take_in(people, by, other)
    (run,) = sending_of(people, by).runs
    assert run.trigger == "high"
    lost = people.told[by][-1]
    assert (lost.outcome, lost.details["winner"]) == (Outcome.ARBITRATION, "high")


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_among_equals_whoever_was_there_first_stays(by: str, other: str) -> None:
    people = people_of(
        trigger("b", steps=WAITING, group="g", entry={"events": ["visit"]}),
        trigger("a", steps=WAITING, group="g"),
    )
    people.event(ANN, "visit")
    people.now += 1
    people.event(BOB)
    take_in(people, by, other)
    assert [run.trigger for run in sending_of(people, by).runs] == ["b"]


def test_whom_a_holdout_keeps_back_takes_nobodys_place() -> None:
    people = people_of(
        trigger("b", steps=WAITING, group="g", entry={"events": ["visit"]}, holdout=100,
                priority=90),
        trigger("a", steps=WAITING, group="g", priority=10),
    )  # fmt: skip
    people.event(ANN, "visit")
    people.now += 1
    people.event(BOB)
    take_in(people, BOB, ANN)
    assert [run.trigger for run in sending_of(people, BOB).runs] == ["a", "b"]


def test_of_too_many_runs_those_entered_last_end() -> None:
    people = people_of(trigger(steps=WAITING))
    for number in range(RUNS_MAX):
        for name in (ANN, BOB):
            people.event(name, id_=f"{name}-{number}")
        people.now += 1
    take_in(people, BOB, ANN)
    runs = sending_of(people, BOB).runs
    assert {run.event_id for run in runs} == {
        f"{name}-{number}" for name in (ANN, BOB) for number in range(RUNS_MAX // 2)
    }
    over = people.told[BOB][-RUNS_MAX:]
    assert {(one.outcome, one.details["policy"]) for one in over} == {(Outcome.CAP, "runs_max")}


def test_runs_of_both_are_bounded_in_bytes() -> None:
    people = people_of(trigger(steps=WAITING))
    for name in (ANN, BOB):
        for _ in range(3):
            people.event(name, properties={"note": "x" * 30_000, "more": ["y" * 25_000]})
    take_in(people, BOB, ANN)
    runs = sending_of(people, BOB).runs
    assert len(runs) == 3
    assert sum(len(run.properties) for run in runs) <= RUNS_BYTES_MAX


# Who they are.


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_an_event_already_counted_under_one_id_is_not_under_the_other(by: str, other: str) -> None:
    people = people_of(tag("orders"))
    people.event(ANN, id_="same")
    take_in(people, by, other)
    people.event(by, id_="same")
    people.event(other, id_="same")
    people.settle()
    assert people.tag(by, "orders") == 1
    assert people.out.counts["duplicate"] == 2


def test_of_the_ids_of_both_the_newest_are_remembered() -> None:
    people = people_of(tag("orders"), message_ids_max=4)
    for number in range(3):
        for name in (ANN, BOB):
            people.now += 1_000_000
            people.event(name, id_=f"{name}-{number}")
    take_in(people, BOB, ANN)  # the alias is an event too
    for id_, seen in ((f"{BOB}-1", 1), (f"{ANN}-2", 2), (f"{ANN}-1", 2)):
        people.event(BOB, id_=id_)
        assert people.out.counts["duplicate"] == seen


def test_what_is_known_of_the_person_stands_and_the_others_fills_gaps() -> None:
    people = people_of()
    people.identify(ANN, city="Paris", plan="gold")
    people.event(ANN, context={"timezone": "Europe/Paris"}, at=NOON - HOUR)
    people.now += HOUR
    people.identify(BOB, city="Rome")
    take_in(people, BOB, ANN)
    state = people.state(BOB)
    assert state.traits == {"city": "Rome", "plan": "gold"}
    assert state.zone == "Europe/Paris"
    assert (state.first_seen_at, state.last_seen_at) == (NOON - HOUR, NOON + HOUR)
    people.event(BOB, "$identify", type="identify", traits={"city": "Oslo"}, at=NOON - 1)
    assert people.state(BOB).traits["city"] == "Rome"


@pytest.mark.parametrize(("by", "other"), WAYS)
def test_a_no_under_either_name_stands(by: str, other: str) -> None:
    people = people_of(trigger())
    people.identify(ANN, consent={"log": False, "mail": True})
    people.identify(BOB, consent={"log": True, "mail": True, "sms": True})
    take_in(people, by, other)
    consent = people.state(by).traits["consent"]
    assert consent == {"log": False, "mail": True, "sms": True}
    assert [one.outcome for one in people.event(by)] == [Outcome.CONSENT]


def test_the_profile_after_a_merge_tells_of_both() -> None:
    people = people_of(tag("orders"))
    people.event(ANN)
    people.event(BOB)
    take_in(people, BOB, ANN)
    people.now += MINUTE
    people.wake(BOB)
    profile = people.out.profiles[-1]
    assert (profile.person, profile.tags) == (BOB, {"orders": 2})


def test_a_state_of_another_revision_is_taken_over_to_the_rules_in_force() -> None:
    orders, gone = tag("orders"), tag("gone")
    people = people_of(orders, gone, trigger(entry={"threshold": {
        "tag": "orders", "direction": "up", "bound": 2}}))  # fmt: skip
    people.event(ANN)
    people.event(ANN)
    new = trigger("new", entry={"threshold": {"tag": "orders", "direction": "up", "bound": 2}})
    people.alias(BOB, ANN)
    people.deliver(BOB, ANN)
    people.rules = compile_rules(bundle(orders, new, revision=2))
    people.settle()
    # What a new entry sees at first lets nobody in, of neither of the two.
    assert [one for one in people.out.decisions if one.trigger == "new"] == []
    assert people.tag(BOB, "orders") == 2
    assert len(people.state(BOB).tags) == 1
