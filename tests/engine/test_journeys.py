"""Journeys, step by step: what each kind of step does, and what is written down of it."""

import pytest

from services.contracts.command import run_id, send_id
from services.contracts.decision import Outcome
from services.contracts.steps import STEPS_MAX
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine.limits import TRAIT_BYTES_MAX, TRAITS_MAX
from services.triggers.engine.program import SendStep, compile_program, each_step
from services.triggers.engine.state import new_state
from tests.engine.build import NOON, PERSON, Log, tag, trigger
from tests.engine.on_journey import (
    DEFER,
    MAIL,
    SEND,
    branch,
    end,
    journey,
    mark,
    runs,
    told,
    underway,
    wait,
    wait_for,
)

NIGHT_AND_DAY = {"start": "12:01", "end": "11:59"}
GOLD = {"trait": "tier", "op": "eq", "value": "gold"}
AWAY = {"not": {"trait": "city", "op": "exists"}}
DEAR = {"property": "amount", "op": "gte", "value": 100}


def test_a_journey_that_begins_with_a_send_goes_on_after_it() -> None:
    log = underway(journey(SEND, wait("1h"), MAIL))
    assert told(log.event("cart", now=NOON, id_="c")) == [(0, "sent")]
    assert log.state.wake_at is not None
    assert log.wake(NOON + HOUR - 1) == []
    assert told(log.wake(NOON + HOUR)) == [(1, "stepped"), (2, "sent"), (2, "ended")]
    assert [one.channel for one in log.out.commands] == ["log", "mail"]
    assert runs(log) == []
    assert log.wake(NOON + 9 * DAY) == []


def test_one_that_begins_otherwise_leaves_a_record_of_its_own() -> None:
    log = underway(journey(wait("1h"), SEND))
    [entered] = log.event("cart", now=NOON, id_="c")
    assert (entered.outcome, entered.step, entered.details) == (Outcome.ENTERED, 0, {})
    assert entered.run_id == run_id("default", "trip", PERSON, "c")
    assert told(log.wake(NOON + HOUR)) == [(0, "stepped"), (1, "sent"), (1, "ended")]


def test_a_trigger_that_is_one_send_has_no_run_and_no_end() -> None:
    log = underway(trigger())
    assert told(log.event()) == [(0, "sent")]
    assert runs(log) == []


def test_ids_are_named_after_run_and_step() -> None:
    log = underway(journey(SEND, branch(DEAR, SEND), SEND))
    log.event("cart", {"amount": 100}, id_="c")
    run = run_id("default", "trip", PERSON, "c")
    assert [one.step for one in log.out.commands] == [0, 2, 3]
    assert {one.run_id for one in log.out.commands} == {run}
    assert {one.run_id for one in log.out.decisions} == {run}
    for command in log.out.commands:
        assert command.send_id == send_id("default", "trip", PERSON, run, command.step)


def test_variables_of_a_later_send_are_the_entrys_event_and_the_person_as_they_are_then() -> None:
    log = underway(journey(wait("1h"), MAIL), tag("orders"))
    log.event("cart", {"sku": "a"}, now=NOON, id_="c")
    log.identify({"email": "a@b"}, now=NOON + 1)
    log.event("order", now=NOON + 2)
    log.wake(NOON + HOUR)
    [command] = log.out.commands
    assert command.to == "a@b"
    assert command.variables["event"] == {"sku": "a"}
    assert command.variables["tags"] == {"orders": 1}
    assert (command.event_id, command.origin_received_at) == ("c", NOON)


@pytest.mark.parametrize(("amount", "steps"), [(100, [2, 5]), (99, [3, 4, 5])])
def test_a_branch_takes_one_way_and_both_go_on_behind_it(amount: int, steps: list[int]) -> None:
    log = underway(journey(wait("1h"), branch(DEAR, SEND, otherwise=(SEND, SEND)), SEND))
    log.event("cart", {"amount": amount}, now=NOON)
    log.wake(NOON + HOUR)
    assert [one.step for one in log.out.commands] == steps


def test_a_branch_sees_the_person_as_they_are_when_it_is_reached() -> None:
    log = underway(
        journey(branch(GOLD, SEND), wait("1h"), branch({"not": {"not": GOLD}}, SEND)),
    )
    log.event("cart", now=NOON)
    log.identify({"tier": "gold"}, now=NOON + 1)
    log.wake(NOON + HOUR)
    assert [one.step for one in log.out.commands] == [4]


def test_a_branch_reads_tags_as_of_now() -> None:
    recent = tag("recent", window="30m")
    log = underway(
        recent, journey(wait("1h"), branch({"tag": "recent", "op": "gte", "value": 1}, SEND))
    )
    for begins, ordered, sends in ((NOON, 29, 0), (NOON + DAY, 31, 1)):
        log.event("cart", now=begins)
        log.event("order", now=begins + ordered * MINUTE)
        log.wake(begins + HOUR)
        assert len(log.out.commands) == sends


def test_of_a_branch_not_taken_the_clause_that_failed_is_told() -> None:
    log = underway(journey(branch({"all": [DEAR, GOLD]}, SEND), wait("1h"), SEND))
    first = log.event("cart", {"amount": 100})[1]
    assert first.details == {
        "way": "else",
        "clause": "if.all[1]",
        "trait": "tier",
        "op": "eq",
        "actual": None,
        "value": "gold",
    }
    log.identify({"tier": "gold"})
    assert log.event("cart", {"amount": 100})[1].details == {"way": "then"}


def test_a_list_that_ends_falls_through_to_what_follows_the_step_around_it() -> None:
    inner = branch(DEAR, mark("inner"), otherwise=(branch(AWAY, mark("deep")),))
    log = underway(journey(branch(GOLD, inner, mark("after")), mark("last"), SEND))
    log.identify({"tier": "gold"})
    decisions = log.event("cart", {"amount": 1})
    steps = [0, 0, 1, 3, 4, 5, 6, 7, 7]
    assert [one.step for one in decisions] == steps
    assert set(log.state.traits) == {"tier", "deep", "after", "last"}


def test_a_way_without_steps_leads_behind_the_step() -> None:
    inner = branch(DEAR, mark("dear"))
    log = underway(
        journey(branch(GOLD, inner, otherwise=(mark("no"),)), wait_for(timeout=(MAIL,)), SEND)
    )
    log.identify({"tier": "gold"}, now=NOON)
    log.event("cart", now=NOON)
    log.event("visit", now=NOON + 1)
    assert log.state.traits == {"tier": "gold"}
    assert [one.channel for one in log.out.commands] == ["log"]


def test_an_end_in_a_branch_ends_the_run_with_its_result() -> None:
    log = underway(journey(wait("1h"), branch(GOLD, end("gold"), otherwise=(SEND,)), MAIL))
    log.identify({"tier": "gold"})
    log.event("cart", now=NOON)
    *_, ended = log.wake(NOON + HOUR)
    assert (ended.outcome, ended.step, ended.details) == (Outcome.ENDED, 2, {"result": "gold"})
    assert (runs(log), log.out.commands, log.state.wake_at) == ([], [], None)


def test_out_of_steps_it_ends_as_done_at_the_last_it_went_through() -> None:
    log = underway(journey(SEND, branch(GOLD, SEND)))
    *_, ended = log.event("cart")
    assert (ended.outcome, ended.step, ended.details) == (Outcome.ENDED, 1, {"result": "done"})


SPLIT = {
    "split": {
        "arms": [
            {"weight": 30, "label": "a", "steps": [mark("a")]},
            {"weight": 10, "label": "b", "steps": [mark("b"), end("b")]},
            {"weight": 60, "steps": []},
        ]
    }
}


def arms_of(person: str, log: Log) -> list[int]:
    """The arms that a new person takes, in a fresh state."""
    log.state = new_state(person)
    return [one.details["arm"] for one in log.event("cart") if "arm" in one.details]


def test_a_split_is_stable_and_keeps_to_the_weights() -> None:
    taken: list[int] = []
    log = underway(journey(SPLIT, SEND))
    for number in range(400):
        first, second = arms_of(f"p{number}", log), arms_of(f"p{number}", log)
        assert first == second
        taken += first
    shares = [taken.count(arm) / len(taken) for arm in range(3)]
    assert shares == pytest.approx([0.3, 0.1, 0.6], abs=0.06)


def test_splits_of_other_steps_and_triggers_are_drawn_anew() -> None:
    halves = {"split": {"arms": [{"weight": 1, "steps": [SEND]}, {"weight": 1}]}}
    log = underway(journey(halves, halves), journey(halves, id_="other"))
    ways = {tuple(arms_of(f"p{number}", log)) for number in range(80)}
    assert len(ways) == 8


def test_a_split_tells_the_arm() -> None:
    log = underway(journey(SPLIT, SEND))
    split = log.event("cart")[1]
    names = {0: {"arm": 0, "label": "a"}, 1: {"arm": 1, "label": "b"}, 2: {"arm": 2}}
    assert split.details == names[split.details["arm"]]


def test_a_tag_step_sets_and_removes_a_trait_and_the_profile_tells() -> None:
    log = underway(journey(mark("stage", "warm"), wait("1h"), {"tag": {"remove": "stage"}}))
    _, stepped = log.event("cart", now=NOON)
    assert stepped.details == {"set": "stage", "value": "warm"}
    assert log.out.profiles[-1].traits == {"stage": "warm"}
    _, stepped, _ = log.wake(NOON + HOUR)
    assert stepped.details == {"remove": "stage"}
    assert log.out.profiles[-1].traits == {}


def test_a_tag_step_leaves_what_the_person_says_later_its_due() -> None:
    log = underway(journey(wait("1h"), mark("tier", "warm"), SEND))
    log.event("cart", now=NOON)
    log.wake(NOON + HOUR)
    log.identify({"tier": "gold", "city": "x"}, now=NOON + 2 * HOUR, occurred_at=NOON + 1)
    assert log.state.traits == {"tier": "gold", "city": "x"}


def test_a_tag_that_does_not_fit_is_counted_and_the_journey_goes_on() -> None:
    log = underway(journey(mark("x" * 90, "y" * 900), mark("one_more"), SEND))
    log.identify({f"t{number}": "z" * 120 for number in range(TRAITS_MAX)})
    assert len(log.state.traits) == TRAITS_MAX < TRAIT_BYTES_MAX
    decisions = log.event("cart")
    assert [one.details.get("skipped") for one in decisions] == [None, True, True, None, None]
    assert log.out.skipped["trait"] == 2
    assert len(log.out.commands) == 1


def test_an_offer_and_a_handoff_ask_an_endpoint_and_nobodys_leave() -> None:
    offer = {"offer": {"kind": "coupon", "endpoint": "shop", "reference": "ten", "amount": 10}}
    task = {"handoff": {"to": "sales", "endpoint": "crm", "content": {"subject": "call"}}}
    log = underway(journey(offer, task), consent="opt_in", quiet_hours=[NIGHT_AND_DAY])
    log.identify({"consent": {"webhook": False}})
    decisions = log.event("cart", {"sku": "a"}, id_="c")
    assert told(decisions) == [(0, "entered"), (0, "offered"), (1, "handed_off"), (1, "ended")]
    coupon, call = log.out.commands
    assert (coupon.kind, coupon.channel, coupon.endpoint) == ("offer", "webhook", "shop")
    assert coupon.request == {"kind": "coupon", "reference": "ten", "amount": 10}
    assert (call.kind, call.endpoint, call.content.subject) == ("handoff", "crm", "call")
    assert call.request == {"to": "sales"}
    assert [one.send_id for one in decisions[1:3]] == [coupon.send_id, call.send_id]
    run = run_id("default", "trip", PERSON, "c")
    assert call.send_id == send_id("default", "trip", PERSON, run, 1)


def test_deliveries_of_an_offer_change_nothing() -> None:
    offer = {"offer": {"kind": "gift", "endpoint": "shop", "reference": "mug"}}
    log = underway(journey(offer, SEND))
    log.event("cart")
    for status in ("failed", "accepted"):
        log.delivery(log.out.commands[0].send_id, status)
    assert log.state.sending is not None
    assert (log.state.sending.accepted, log.state.sending.failed) == (0, 0)
    assert len(log.state.sending.sends) == 1


def test_twenty_steps_in_five_levels_are_numbered_in_the_order_in_which_they_are_read() -> None:
    deep = branch(GOLD, wait_for(branch(DEAR, SEND, SEND), SEND, timeout=(SEND, wait("1h"))), SEND)
    trip = journey(SEND, SPLIT, deep, SEND, mark("x"), SEND, SEND, end("over"))
    steps = list(each_step(trip.steps))
    program = compile_program(trip, (), (), {}, {})
    assert len(steps) <= STEPS_MAX
    assert [step.number for step in program.steps] == list(range(len(steps)))
    sends = [step.number for step in program.steps if isinstance(step, SendStep)]
    assert sends == [number for number, step in enumerate(steps) if step.send is not None]
    assert program.steps[-1].following == program.end


def test_who_may_not_enter_has_no_run() -> None:
    vip = {"trait": "vip", "op": "exists"}
    log = underway(journey(wait("1h"), SEND, audience=vip, dedup={"key": ["sku"]}))
    [refused] = log.event("cart", {"sku": 1})
    assert (refused.outcome, refused.run_id) == (Outcome.AUDIENCE, None)
    log.identify({"vip": 1})
    assert told(log.event("cart", {"sku": 1})) == [(0, "entered")]
    assert told(log.event("cart", {"sku": 1})) == [(0, "dedup")]
    assert len(runs(log)) == 1


def test_reentry_is_measured_from_the_entry_not_from_the_end() -> None:
    reentry = {"mode": "cooldown", "cooldown": "2d"}
    log = underway(journey(wait("5d"), SEND, reentry=reentry))
    log.event("cart", now=NOON)
    assert told(log.event("cart", now=NOON + 2 * DAY - 1)) == [(0, "reentry")]
    assert told(log.event("cart", now=NOON + 2 * DAY)) == [(0, "entered")]
    assert len(runs(log)) == 2


def test_one_that_waits_for_a_better_one_at_its_entry_begins_its_journey_then() -> None:
    log = underway(journey(wait("1h"), SEND, arbitration_window="30m", when_capped=DEFER))
    assert told(log.event("cart", now=NOON)) == [(0, "arbitration")]
    assert told(log.wake(NOON + HOUR // 2)) == [(0, "entered")]
    assert told(log.wake(NOON + HOUR)) == []
    assert told(log.wake(NOON + HOUR // 2 + HOUR)) == [(0, "stepped"), (1, "sent"), (1, "ended")]
