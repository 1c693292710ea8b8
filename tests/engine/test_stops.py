"""The kill switch: what is stopped is not decided to be sent, and what is under way waits."""

from typing import Any

import pytest

from services.contracts.decision import Outcome
from services.contracts.definitions import Trigger
from services.contracts.time import DAY, HOUR
from services.triggers.engine import compile_rules, concerns_everyone
from services.triggers.engine.explain import explain
from services.triggers.engine.limits import NEVER
from tests.engine.build import NOON, Log, bundle, policy, trigger
from tests.engine.on_journey import DEFER, MAIL, SEND, journey, runs, told, underway, wait

ALL = {"stopped": True}
NO_MAIL = {"stopped_channels": ["mail"]}


def switched(*triggers: Trigger, **stops: Any) -> Any:
    """A log under these triggers, and how to stop and go on."""
    log, revision = underway(*triggers, **stops), 1

    def put(**stops: Any) -> Log:
        nonlocal revision
        revision += 1
        log.publish(bundle(*triggers, revision=revision, **stops))
        return log

    return log, put


def test_nobody_comes_in_while_everything_is_stopped_and_the_record_says_why() -> None:
    log, put = switched(trigger("t"))
    put(**ALL)
    (one,) = log.event()
    assert (one.outcome, one.details) == (Outcome.PAUSED, {"stopped": "all"})
    assert log.out.commands == []
    put()
    assert told(log.event()) == [(0, "sent")]


def test_a_stopped_channel_refuses_its_own_sends_alone() -> None:
    log, put = switched(trigger("t"), trigger("m", steps=[MAIL]))
    put(**NO_MAIL)
    outcomes = {one.trigger: one for one in log.event()}
    assert outcomes["t"].outcome is Outcome.SENT
    assert outcomes["m"].outcome is Outcome.PAUSED
    assert outcomes["m"].details == {"stopped": "mail"}


@pytest.mark.parametrize("category", ["marketing", "transactional"])
def test_a_stop_makes_no_exception_for_any_category(category: str) -> None:
    log, _ = switched(trigger("t", category=category), **ALL)
    assert told(log.event()) == [(0, "paused")]


def test_journeys_wait_where_they_are_while_everything_is_stopped() -> None:
    log, put = switched(journey(wait("1h"), SEND))
    log.event("cart", now=NOON)
    put(**ALL)
    assert log.wake(NOON + HOUR) == []
    assert (log.state.next_due, log.state.wake_at) == (NEVER, None)
    put()
    assert told(log.wake(NOON + 5 * DAY)) == [(0, "stepped"), (1, "sent"), (1, "ended")]


def test_a_journey_goes_as_far_as_the_send_whose_channel_is_stopped() -> None:
    log, put = switched(journey(wait("1h"), MAIL, SEND))
    log.event("cart", now=NOON)
    put(**NO_MAIL)
    decisions = log.wake(NOON + HOUR)
    assert told(decisions) == [(0, "stepped"), (1, "paused")]
    assert decisions[1].details == {"stopped": "mail"}
    assert (log.state.next_due, runs(log)[0].step) == (NEVER, 1)
    assert log.event("other", now=NOON + 2 * HOUR) == []
    put()
    assert told(log.wake(NOON + 3 * HOUR)) == [(1, "sent"), (2, "sent"), (2, "ended")]


def test_what_was_held_too_long_expires_and_the_journey_goes_on() -> None:
    log, put = switched(journey(wait("1h"), MAIL, SEND))
    log.event("cart", now=NOON)
    put(**NO_MAIL)
    log.wake(NOON + HOUR)
    put()
    assert told(log.wake(NOON + 3 * DAY)) == [(1, "expired"), (2, "sent"), (2, "ended")]


def test_an_exit_ends_what_is_held() -> None:
    log, put = switched(journey(wait("1h"), MAIL, exit={"events": ["order"]}))
    log.event("cart", now=NOON)
    put(**NO_MAIL)
    log.wake(NOON + HOUR)
    assert told(log.event("order", now=NOON + 2 * HOUR)) == [(1, "exit")]
    assert runs(log) == []


def test_a_send_that_was_put_off_by_a_cap_stays_put_off() -> None:
    capped = trigger("t", when_capped=DEFER)
    log, revision = underway(capped, policy()), 1
    log.event(now=NOON)
    log.event(now=NOON + 1)
    log.publish(bundle(capped, policy(), revision=revision + 1, stopped=True))
    assert log.wake(NOON + DAY) == []
    log.publish(bundle(capped, policy(), revision=revision + 2))
    assert told(log.wake(NOON + DAY + HOUR)) == [(0, "sent")]


def test_what_waits_for_a_stopped_channel_is_in_nobodys_way() -> None:
    # Of one group, the run that is held is the better one.
    held = journey(wait("1h"), MAIL, group="g", priority=90)
    other = trigger("other", group="g", priority=10)
    log, put = switched(held, other)
    log.event("cart", now=NOON)
    put(**NO_MAIL)
    log.wake(NOON + HOUR)
    assert told(log.event(now=NOON + 2 * HOUR)) == [(0, "sent")]


def test_only_going_on_concerns_people_to_whom_nothing_happens() -> None:
    free, stopped, no_mail = (
        compile_rules(bundle(trigger("t"), **stops)) for stops in ({}, ALL, NO_MAIL)
    )
    assert concerns_everyone(stopped, free)
    assert concerns_everyone(no_mail, free)
    assert not concerns_everyone(free, stopped)
    assert not concerns_everyone(free, no_mail)


def test_an_explanation_tells_a_stop_from_a_pause() -> None:
    log, put = switched(trigger("t"))
    put(**ALL)
    log.event()
    told = explain(log.state, "t", log.rules, log.out.decisions, log.now)
    assert "not sent, sending was stopped (stopped all)" in told.sentence


def test_an_explanation_says_what_holds_a_journey() -> None:
    log, put = switched(journey(wait("1h"), MAIL))
    log.event("cart", now=NOON)
    put(**NO_MAIL)
    log.wake(NOON + HOUR)
    told = explain(log.state, "trip", log.rules, log.out.decisions, log.now)
    assert told.sentence.endswith("held while sending is stopped")
