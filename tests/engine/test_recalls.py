"""What is under way at the dispatcher is taken back once it must not go out any more."""

from typing import Any

import pytest

from services.contracts.command import Cancel, NotBetween
from services.contracts.decision import CANCELLED, Outcome
from services.contracts.delivery import DeliveryStatus
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import compile_rules, concerns_everyone
from services.triggers.engine.limits import OPENS_MAX
from tests.engine.build import NOON, PERSON, Log, bundle, policy, tag, trigger
from tests.engine.on_journey import MAIL, SEND, journey, runs, underway, wait, wait_for
from tests.engine.people import people_of

CART = {"events": ["cart"]}
QUIT = {"events": ["order"]}


def cancels(log: Log) -> list[Cancel]:
    """All cancels so far."""
    return [one for one in log.out.notices if isinstance(one, Cancel)]


def sent(log: Log) -> list[str]:
    """The ids of all commands so far."""
    return [one.send_id for one in log.out.commands]


def reminder(**fields: Any) -> Log:
    """A trigger that sends on a cart and is left by an order."""
    return underway(trigger("t", **{"entry": CART, "exit": QUIT, **fields}))


def test_an_exit_takes_back_a_send_of_which_nothing_is_heard_and_says_so() -> None:
    log = reminder()
    [decided] = log.event("cart", now=NOON, id_="c")
    [record] = log.event("order", now=NOON + MINUTE, id_="o")
    assert cancels(log) == [
        Cancel(person=PERSON, send_id=decided.send_id, reason="exit", decided_at=NOON + MINUTE)
    ]
    assert (record.outcome, record.send_id, record.run_id) == (
        Outcome.EXIT,
        decided.send_id,
        decided.run_id,
    )
    assert record.details == {"exit_event": "order", "exit_event_id": "o", CANCELLED: True}
    assert (record.event_id, record.step) == ("c", 0)


@pytest.mark.parametrize("verdict", ["accepted", "failed"])
def test_what_is_heard_of_is_not_taken_back(verdict: DeliveryStatus) -> None:
    log = reminder()
    log.event("cart")
    log.delivery(sent(log)[0], verdict)
    assert log.event("order") == []
    assert (cancels(log), log.state.sending and log.state.sending.opens) == ([], [])


def test_another_exit_takes_nothing_back_twice() -> None:
    log = reminder()
    log.event("cart")
    log.event("order")
    assert log.event("order") == []
    assert len(cancels(log)) == 1


def test_a_send_that_was_taken_back_frees_its_place_once_the_dispatcher_gave_it_up() -> None:
    log = underway(trigger("t", entry=CART, exit=QUIT), policy(kind="trigger", value="t"))
    log.event("cart", now=NOON)
    log.event("order", now=NOON + 1)
    assert log.event("cart", now=NOON + 2)[0].outcome is Outcome.CAP
    log.delivery(sent(log)[0], "failed", now=NOON + 3)
    assert log.event("cart", now=NOON + 4)[0].outcome is Outcome.SENT


def test_one_that_was_accepted_before_the_cancel_came_keeps_its_place() -> None:
    log = underway(trigger("t", entry=CART, exit=QUIT), policy(kind="trigger", value="t"))
    log.event("cart", now=NOON)
    log.event("order", now=NOON + 1)
    log.delivery(sent(log)[0], "accepted", now=NOON + 3)
    assert log.event("cart", now=NOON + 4)[0].outcome is Outcome.CAP


def test_with_a_key_only_what_entered_with_the_same_values_is_taken_back() -> None:
    log = reminder(exit={**QUIT, "key": ["order.id"]})
    for number, properties in enumerate(({"order": {"id": 1}}, {"order": {"id": 2}}, {})):
        log.event("cart", properties, now=NOON + number)
    log.event("order", {"order": {"id": 2.0}}, now=NOON + HOUR)
    log.event("order", {}, now=NOON + HOUR)
    assert [one.send_id for one in cancels(log)] == [sent(log)[1]]


def test_the_exit_is_that_of_the_version_that_asked() -> None:
    first = trigger("t", entry=CART, exit=QUIT, version=1)
    log = underway(first)
    log.event("cart", now=NOON)
    second = trigger("t", entry=CART, exit={"events": ["other"]}, version=2)
    log.publish(bundle(second, revision=2))
    log.event("other", now=NOON + 1)
    assert cancels(log) == []
    pinned = bundle(second, revision=3)
    log.publish(type(pinned)(**{**_fields(pinned), "pinned": (first,)}))
    log.event("order", now=NOON + 2)
    assert len(cancels(log)) == 1


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def test_a_condition_of_the_exit_sees_the_profile_with_the_event_applied() -> None:
    way_out = {**QUIT, "where": {"tag": "orders", "op": "gte", "value": 2}}
    log = underway(trigger("t", entry=CART, exit=way_out), tag("orders"))
    log.event("cart")
    log.event("order")
    assert cancels(log) == []
    log.event("order")
    assert len(cancels(log)) == 1


def test_past_its_deadline_there_is_nothing_to_take_back() -> None:
    log = reminder(send_within="1h")
    log.event("cart", now=NOON)
    assert log.event("order", now=NOON + HOUR) == []
    assert cancels(log) == []


def test_a_run_that_leaves_takes_its_sends_and_tasks_with_it_and_its_end_is_told_last() -> None:
    hand = {"handoff": {"to": "sales", "endpoint": "crm", "content": {"subject": "call"}}}
    log = underway(journey(SEND, hand, wait("1h"), SEND, exit=QUIT))
    log.event("cart", now=NOON)
    ended = log.event("order", now=NOON + MINUTE)
    assert [(one.step, one.send_id) for one in ended] == [
        (0, sent(log)[0]),
        (1, sent(log)[1]),
        (2, None),
    ]
    assert [one.send_id for one in cancels(log)] == sent(log)
    assert runs(log) == []


@pytest.mark.parametrize(
    ("consent", "taken_back"),
    [
        ({"mail": False}, True),
        ({"marketing": False}, True),
        ("no", True),
        ({"sms": False}, False),
        ({"mail": True}, False),
    ],
)
def test_consent_that_is_withdrawn_takes_back_what_it_does_not_cover(
    consent: Any, taken_back: bool
) -> None:
    log = underway(trigger("t", steps=[MAIL]))
    log.event(now=NOON)
    told = log.identify({"consent": consent}, now=NOON + 1)
    assert [one.outcome for one in told] == ([Outcome.CONSENT] if taken_back else [])
    assert [(one.send_id, one.reason) for one in cancels(log)] == (
        [(sent(log)[0], "consent")] if taken_back else []
    )


def test_transactional_messages_offers_and_tasks_need_no_consent() -> None:
    offer = {"offer": {"kind": "coupon", "reference": "x", "endpoint": "shop"}}
    log = underway(trigger("t", steps=[MAIL], category="transactional"), journey(offer))
    log.event()
    log.event("cart")
    assert len(sent(log)) == 2
    assert log.identify({"consent": {"mail": False, "marketing": False}}) == []


def test_a_run_that_gives_way_to_a_better_one_takes_its_sends_with_it() -> None:
    log = underway(
        journey(SEND, wait("1h"), SEND, group="g", priority=10),
        trigger("better", entry={"events": ["look"]}, group="g", priority=20),
    )
    log.event("cart", now=NOON)
    told = log.event("look", now=NOON + 1)
    assert [(one.trigger, one.outcome) for one in told] == [
        ("better", Outcome.SENT),
        ("trip", Outcome.ARBITRATION),
        ("trip", Outcome.ARBITRATION),
    ]
    [cancel] = cancels(log)
    assert (cancel.send_id, cancel.reason) == (sent(log)[0], "arbitration")


@pytest.mark.parametrize("status", ["archived", "draft", None])
def test_with_its_trigger_goes_what_it_asked_for(status: str | None) -> None:
    log = reminder()
    log.event("cart", now=NOON)
    left = [] if status is None else [trigger("t", entry=CART, exit=QUIT, status=status)]
    log.publish(bundle(*left, revision=2))
    [told] = log.wake(NOON + 1)
    assert (told.outcome, told.details["status"]) == (Outcome.PAUSED, status or "removed")
    assert [one.send_id for one in cancels(log)] == sent(log)


def test_a_pause_takes_nothing_back() -> None:
    log = reminder()
    log.event("cart", now=NOON)
    log.publish(bundle(trigger("t", entry=CART, exit=QUIT, status="paused"), revision=2))
    log.wake(NOON + 1)
    assert cancels(log) == []
    log.event("order", now=NOON + 2)
    assert len(cancels(log)) == 1


def test_of_very_many_under_way_the_oldest_are_forgotten() -> None:
    log = reminder()
    for number in range(OPENS_MAX + 2):
        log.event("cart", now=NOON + number)
    log.event("order", now=NOON + DAY - HOUR)
    assert [one.send_id for one in cancels(log)] == sent(log)[2:]


def test_what_waited_and_was_sent_then_is_taken_back_as_well() -> None:
    log = underway(journey(wait_for(SEND, key=["sku"]), exit=QUIT))
    log.event("cart", {"sku": 1}, now=NOON)
    log.event("visit", {"sku": 1}, now=NOON + MINUTE)
    log.event("order", now=NOON + HOUR)
    assert [one.send_id for one in cancels(log)] == sent(log)


def test_whoever_takes_somebody_in_takes_back_what_was_asked_for_them() -> None:
    people = people_of(trigger("t", entry=CART, exit=QUIT))
    people.event("ann", "cart")
    people.alias("bob", "ann")
    people.settle()
    [command] = people.out.commands
    people.event("bob", "order")
    [cancel] = [one for one in people.out.notices if isinstance(one, Cancel)]
    assert (cancel.person, cancel.send_id) == ("bob", command.send_id)


def test_who_said_no_under_another_name_gets_nothing_that_is_under_way() -> None:
    people = people_of(trigger("t", entry=CART, steps=[MAIL]))
    people.event("bob", "cart")
    people.identify("ann", None, consent={"mail": False})
    people.alias("bob", "ann")
    people.settle()
    [cancel] = [one for one in people.out.notices if isinstance(one, Cancel)]
    assert cancel.send_id == people.out.commands[0].send_id


QUIET = [
    {"start": "22:00", "end": "08:00"},
    {"start": "12:00", "end": "13:00", "channels": ["sms"]},
    {"start": "14:00", "end": "15:00", "channels": ["log"]},
]


def test_a_command_bears_the_quiet_hours_of_its_channel_in_the_persons_zone() -> None:
    log = Log(rules=underway(trigger(), quiet_hours=QUIET).rules)
    log.event(now=NOON, context={"timezone": "Asia/Shanghai"})
    zone = "Asia/Shanghai"
    assert log.out.commands[0].not_between == (
        NotBetween(start="22:00", end="08:00", zone=zone),
        NotBetween(start="14:00", end="15:00", zone=zone),
    )


def test_transactional_messages_and_those_without_quiet_hours_bear_none() -> None:
    log = underway(trigger("t", category="transactional"), quiet_hours=QUIET)
    log.event()
    other = underway(trigger(), quiet_hours=QUIET[1:2])
    other.event()
    assert [one.out.commands[0].not_between for one in (log, other)] == [(), ()]


@pytest.mark.parametrize("status", ["live", "paused", "archived"])
def test_the_end_of_a_trigger_concerns_those_to_whom_nothing_happens(status: str) -> None:
    before = underway(trigger("t"), trigger("other")).rules
    now = bundle(trigger("t", status=status), trigger("other"), revision=2)
    assert concerns_everyone(before, compile_rules(now)) is (status == "archived")
