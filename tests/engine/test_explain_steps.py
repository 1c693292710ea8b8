"""`explain` of a journey: where a run stands, and why a step was not come to."""

import msgspec

from services.contracts.decision import Decision, Outcome
from services.contracts.event import Event
from services.contracts.time import DAY, HOUR
from services.triggers.engine.explain import explain
from services.triggers.engine.explain_texts import decision_text
from tests.engine.build import NOON, PERSON, Log, bundle, log_of, trigger
from tests.engine.test_explain import event, explained

JOURNEY = trigger(
    "welcome",
    steps=[
        {"send": {"channel": "log"}},
        {
            "branch": {
                "if": {"trait": "vip", "op": "eq", "value": True},
                "then": [{"send": {"channel": "log"}}],
                "else": [
                    {
                        "wait_for": {
                            "events": ["visit"],
                            "where": {"property": "seconds", "op": "gte", "value": 60},
                            "within": "3d",
                            "then": [{"send": {"channel": "log"}}],
                            "on_timeout": [{"end": {"result": "silent"}}],
                        }
                    }
                ],
            }
        },
        {"wait": {"for": "1d"}},
        {"handoff": {"to": "sales", "endpoint": "crm", "content": {"subject": "Call"}}},
    ],
    exit={"events": ["closed"]},
)


def of_step(log: Log, step: int, *events: Event) -> tuple[str, str]:
    told = explain(log.state, "welcome", log.rules, log.out.decisions, log.now, events, step=step)
    return told.verdict, told.sentence.removeprefix("welcome for ada: ")


def test_a_journey_under_way_says_where_it_is_and_until_when() -> None:
    log = log_of(JOURNEY)
    log.event()
    told = explained(log, "welcome")
    assert told.verdict == "under_way"
    assert told.sentence.endswith(
        "step 3 (wait_for): waits since 2026-06-10T12:00:00Z for visit, at most until"
        " 2026-06-13T12:00:00Z"
    )
    [waits] = [one for one in told.findings if one.kind == "under_way"]
    assert (waits.place, waits.step) == ("steps[1].branch.else[0]", 3)


def test_a_journey_that_waits_says_what_the_last_events_lacked() -> None:
    log = log_of(JOURNEY)
    log.event()
    log.event("visit", {"seconds": 5})
    visit = event("visit", seconds=5)
    [found] = [one for one in explained(log, "welcome", visit).findings if one.kind == "wait_for"]
    assert found.place == "steps[1].branch.else[0].wait_for"
    assert "property seconds is 5 and has to be at least 60" in found.sentence


def test_a_step_that_was_come_to_is_told_from_its_record() -> None:
    log = log_of(JOURNEY)
    log.event()
    assert of_step(log, 0) == ("sent", "2026-06-10T12:00:00Z: step 0 (send): sent")
    verdict, sentence = of_step(log, 1)
    assert verdict == "stepped"
    assert "step 1 (branch): went by `else`: trait vip is missing and has to equal" in sentence
    assert of_step(log, 3)[0] == "under_way"


def test_a_step_on_another_way_is_told_with_the_clause_that_led_away_from_it() -> None:
    log = log_of(JOURNEY)
    log.event()
    verdict, sentence = of_step(log, 2)
    assert verdict == "not_reached"
    assert sentence.startswith("step 2 (send): not on the way that was taken, ")
    assert "went by `else`: trait vip is missing and has to equal true (if)" in sentence
    # Its way out was not taken either, and yet the first turn is what is told.
    log.identify({"vip": True})
    log.event("order", now=NOON + 2 * DAY)
    assert "went by `then`" in of_step(log, 5)[1]


def test_a_step_that_is_yet_to_come_says_what_is_waited_for_before_it() -> None:
    log = log_of(JOURNEY)
    log.event()
    verdict, sentence = of_step(log, 7)
    assert verdict == "not_reached"
    assert sentence.startswith("step 7 (handoff): not yet, step 3 (wait_for): waits since")


def test_a_step_behind_the_end_of_the_run_says_how_it_ended() -> None:
    log = log_of(JOURNEY)
    log.event()
    log.event("closed", now=NOON + HOUR)
    verdict, sentence = of_step(log, 7)
    assert verdict == "not_reached"
    assert "step 7 (handoff): the run was over before it, 2026-06-10T13:00:00Z: step 3" in sentence
    assert "ended, the exit happened while it waited" in sentence
    log.event(now=NOON + DAY)
    log.wake(NOON + 4 * DAY)
    assert "(result silent)" in of_step(log, 7)[1]
    assert of_step(log, 4)[1].startswith("step 4 (send): not on the way that was taken, ")
    assert of_step(log, 99) == ("not_reached", "version 0 has no step 99")


def test_steps_are_those_of_the_version_the_person_is_in() -> None:
    first = msgspec.structs.replace(JOURNEY, version=1)
    log = log_of(first)
    log.event()
    second = msgspec.structs.replace(trigger("welcome"), version=2)
    log.publish(msgspec.structs.replace(bundle(second, revision=2), pinned=(first,)))
    assert of_step(log, 7)[1].startswith("step 7 (handoff): not yet, step 3 (wait_for)")


def test_a_paused_trigger_says_that_it_holds_its_runs() -> None:
    first = msgspec.structs.replace(JOURNEY, version=1)
    log = log_of(first)
    log.event()
    paused = msgspec.structs.replace(JOURNEY, version=2, status="paused")
    log.publish(msgspec.structs.replace(bundle(paused, revision=2), pinned=(first,)))
    assert explained(log, "welcome").sentence.endswith(", held while the trigger is paused")


def test_every_outcome_has_a_sentence_of_its_own() -> None:
    record = Decision(
        person=PERSON,
        trigger="t",
        trigger_version=1,
        step=0,
        outcome=Outcome.SENT,
        event_id="e",
        now=NOON,
        revision=1,
    )
    texts = {
        decision_text(msgspec.structs.replace(record, outcome=one)).partition("Z: ")[2]
        for one in Outcome
    }
    assert len(texts) == len(Outcome)
    assert not texts & {str(one) for one in Outcome if one not in ("sent", "offered", "ended")}
