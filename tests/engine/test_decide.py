"""One event from end to end: order of the steps, time, and what is recorded."""

from typing import Any

import pytest

from services.contracts.command import run_id, send_id
from services.contracts.control import Ask
from services.contracts.decision import Outcome
from services.contracts.errors import Malformed
from services.contracts.event import Event
from services.contracts.time import DAY, HOUR, MINUTE, SECOND
from services.triggers.engine import Outputs, compile_rules, decide, encode_state, new_state
from tests.engine.build import NOON, PERSON, bundle, log_of, policy, tag, trigger


def test_an_event_a_trigger_listens_to_becomes_a_command() -> None:
    log = log_of(
        trigger(
            steps=[
                {
                    "send": {
                        "channel": "mail",
                        "content": {"subject": "Thanks", "body": "Hi {{ person.name }}"},
                    }
                }
            ],
            priority=90,
            send_within="2h",
            version=7,
        ),
        tag("orders"),
    )
    log.identify({"email": "ada@example.org", "name": "Ada"})
    [decision] = log.event("order", {"amount": 12}, id_="e1")
    [command] = log.out.commands
    run = run_id("default", "hello", PERSON, "e1")
    assert decision.outcome is Outcome.SENT
    assert (decision.send_id, decision.run_id) == (command.send_id, run)
    assert command.send_id == send_id("default", "hello", PERSON, run, 0)
    assert command.to == "ada@example.org"
    assert command.lane == "high"
    assert (command.trigger_version, command.event_id) == (7, "e1")
    assert (command.decided_at, command.origin_received_at) == (NOON, NOON)
    assert command.expires_at == NOON + 2 * HOUR
    assert command.content.subject == "Thanks"
    assert command.variables == {
        "event": {"amount": 12},
        "person": {"email": "ada@example.org", "name": "Ada"},
        "tags": {"orders": 1},
    }


def test_a_transactional_command_takes_its_own_lane_and_a_missing_address_stays_missing() -> None:
    mail = {"channel": "mail", "content": {"subject": "s", "body": "b"}}
    log = log_of(trigger(category="transactional", priority=100, steps=[{"send": mail}]))
    log.event()
    [command] = log.out.commands
    assert (command.lane, command.to) == ("transactional", None)


def test_a_webhook_names_its_endpoint_and_an_address_only_if_asked() -> None:
    hook = {"channel": "webhook", "endpoint": "crm", "to_trait": "crm_id"}
    log = log_of(trigger(steps=[{"send": hook}]))
    log.identify({"crm_id": "c-9", "email": "ada@example.org"})
    log.event()
    [command] = log.out.commands
    assert (command.endpoint, command.to, command.lane) == ("crm", "c-9", "normal")


def test_conditions_see_the_tags_with_this_event_applied() -> None:
    second = trigger(audience={"tag": "orders", "op": "eq", "value": 2})
    log = log_of(tag("orders"), second)
    assert [one.outcome for one in log.event()] == [Outcome.AUDIENCE]
    assert [one.outcome for one in log.event()] == [Outcome.SENT]
    assert [one.outcome for one in log.event()] == [Outcome.AUDIENCE]


def test_conditions_of_an_identify_see_its_traits() -> None:
    welcome = trigger(
        entry={
            "events": ["$identify"],
            "where": {"trait": "plan", "op": "eq", "value": "gold"},
        }
    )
    log = log_of(welcome)
    assert log.identify({"plan": "silver"}) == []
    assert [one.outcome for one in log.identify({"plan": "gold"})] == [Outcome.SENT]


def test_a_trigger_whose_entry_does_not_match_leaves_no_record() -> None:
    log = log_of(
        trigger(
            entry={
                "events": ["order"],
                "where": {"property": "amount", "op": "gt", "value": 100},
            }
        )
    )
    assert log.event("order", {"amount": 100}) == []
    assert log.event("view", {"amount": 101}) == []
    assert len(log.event("order", {"amount": 101})) == 1


def test_a_refusal_by_audience_tells_the_clause_and_its_value() -> None:
    log = log_of(
        tag("orders"),
        trigger(
            audience={
                "all": [
                    {"tag": "orders", "op": "gte", "value": 1},
                    {"not": {"any": [{"trait": "city", "op": "in", "value": ["Rome", "Oslo"]}]}},
                ]
            }
        ),
    )
    log.identify({"city": "Oslo"})
    [decision] = log.event()
    assert decision.details == {
        "clause": "audience.all[1].not.any[0]",
        "trait": "city",
        "op": "in",
        "value": ("Rome", "Oslo"),
        "actual": "Oslo",
        "negated": True,
    }


def test_a_paused_trigger_records_paused_and_a_draft_nothing() -> None:
    log = log_of(
        trigger("a_paused", status="paused"),
        trigger("b_draft", status="draft"),
        trigger("c_archived", status="archived"),
    )
    [decision] = log.event()
    assert (decision.trigger, decision.outcome) == ("a_paused", Outcome.PAUSED)
    assert log.out.commands == []


def test_of_several_reasons_against_a_send_the_first_in_order_is_recorded() -> None:
    fields: dict[str, Any] = {
        "dedup": {"key": ["order_id"], "window": "7d"},
        "reentry": {"mode": "cooldown", "cooldown": "7d"},
    }
    cap, audience = policy(limit=1, window="7d"), {"property": "vip", "op": "exists"}
    log = log_of(trigger(**fields), cap)
    order = {"order_id": 1, "vip": True}
    log.event("order", order)
    paused = bundle(trigger(**fields, status="paused", audience=audience), cap, revision=2)
    log.publish(paused)
    assert [one.outcome for one in log.event("order", {"order_id": 1})] == [Outcome.PAUSED]
    log.publish(bundle(trigger(**fields, audience=audience), cap, revision=3))
    told = [
        log.event("order", properties)[0].outcome
        for properties in ({"order_id": 1}, order, {**order, "order_id": 2})
    ]
    assert told == [Outcome.AUDIENCE, Outcome.DEDUP, Outcome.REENTRY]
    log.publish(bundle(trigger(), cap, revision=4))
    assert [one.outcome for one in log.event("order", order)] == [Outcome.CAP]


def test_candidates_are_decided_by_priority_then_deadline_then_id() -> None:
    log = log_of(
        trigger("d_low", priority=10),
        trigger("c_later", priority=50, send_within="3h"),
        trigger("b_same", priority=50, send_within="2h"),
        trigger("a_same", priority=50, send_within="2h"),
        trigger("z_high", priority=99, send_within="9h"),
        policy(limit=3),
    )
    decisions = log.event()
    assert [one.trigger for one in decisions] == ["z_high", "a_same", "b_same", "c_later", "d_low"]
    assert [one.outcome for one in decisions] == [Outcome.SENT] * 3 + [Outcome.CAP] * 2


def test_a_late_event_fills_its_tags_but_starts_nothing() -> None:
    log = log_of(tag("orders", window="30d"), trigger())
    assert log.event(occurred_at=NOON - DAY - 1) == []
    assert log.tag("orders") == 1
    assert {one: count for one, count in log.out.counts.items() if count} == {"late": 1}


def test_an_event_of_exactly_the_allowed_age_is_not_late() -> None:
    log = log_of(trigger())
    assert [one.outcome for one in log.event(occurred_at=NOON - DAY)] == [Outcome.SENT]


def test_an_event_far_ahead_is_taken_as_happening_when_received() -> None:
    log = log_of(tag("latest", "last", events=["order"]), tag("hour", window="1h"))
    log.event("order", {"amount": 1}, occurred_at=NOON + 5 * MINUTE + 1)
    assert log.out.counts["clamped"] == 1
    assert log.state.last_seen_at == NOON
    log.event("order", {"amount": 2}, occurred_at=NOON + 5 * MINUTE)
    assert log.out.counts["clamped"] == 1
    assert log.state.last_seen_at == NOON + 5 * MINUTE
    assert (log.tag("latest"), log.tag("hour")) == (2, 2)


def test_a_persons_time_never_goes_back() -> None:
    log = log_of(trigger(), policy(limit=1, window="1h"))
    log.event(now=NOON)
    [decision] = log.event(now=NOON - 2 * HOUR, occurred_at=NOON - 2 * HOUR)
    assert decision.now == NOON
    assert decision.outcome is Outcome.CAP


@pytest.mark.parametrize(
    ("now", "occurred_at"),
    [(-1, 0), (4_102_444_800 * SECOND, 0), (NOON, -4_102_444_800 * SECOND)],
)
def test_an_instant_out_of_range_is_malformed_and_changes_nothing(
    now: int, occurred_at: int
) -> None:
    state = new_state(PERSON)
    before = encode_state(state)
    event = Event(
        person=PERSON,
        type="track",
        name="order",
        message_id="m",
        occurred_at=occurred_at,
        received_at=max(now, 0),
    )
    out = Outputs()
    with pytest.raises(Malformed, match="bad_time"):
        decide(state, event, compile_rules(bundle(trigger())), now, out)
    assert encode_state(state) == before
    assert sum(out.counts.values()) == 0


def test_a_state_is_never_given_another_persons_event() -> None:
    event = Event(
        person="bob", type="track", name="order", message_id="m", occurred_at=0, received_at=0
    )
    with pytest.raises(ValueError, match="another person"):
        decide(new_state(PERSON), event, compile_rules(bundle()), NOON, Outputs())


def test_an_alias_asks_once_for_whom_the_person_was_before() -> None:
    log = log_of()
    for _ in range(2):
        log.event("$alias", type="alias", previous_id="anon-1", user_id=PERSON)
    assert log.out.hops == [Ask(person="anon-1", by=PERSON, at=NOON)]
    assert log.out.counts["alias"] == 2


def test_a_new_revision_drops_what_tags_that_are_gone_had_kept() -> None:
    log = log_of(tag("orders"), tag("spend", "sum"))
    log.event("order", {"amount": 5})
    assert len(log.state.tags) == 2
    log.publish(bundle(tag("orders", name="Orders ever"), revision=2))
    log.event("view")
    assert len(log.state.tags) == 1
    assert log.tag("orders") == 1


def test_a_tag_that_aggregates_something_else_starts_anew() -> None:
    log = log_of(tag("spend", "sum"))
    log.event("order", {"amount": 5, "tax": 1})
    log.publish(bundle(tag("spend", "sum", value="tax"), revision=2))
    log.event("order", {"amount": 5, "tax": 1})
    assert log.tag("spend") == 1


@pytest.mark.parametrize("choice", [None, "at_most_once", "at_least_once"])
def test_a_command_says_what_its_trigger_wants_after_silence(choice: str | None) -> None:
    send = {"channel": "log"} if choice is None else {"channel": "log", "when_unknown": choice}
    log = log_of(trigger(steps=[{"send": send}]))
    log.event("order")
    assert [command.when_unknown for command in log.out.commands] == [choice]
