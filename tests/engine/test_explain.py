"""`explain`: the reason from the records; without records, the failing clause with its value."""

from collections.abc import Sequence

import msgspec

from services.contracts.decision import Decision
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY, HOUR, MINUTE
from services.triggers.engine import encode_state
from services.triggers.engine.explain import DECISIONS_TOLD_MAX, Explanation, explain
from tests.engine.build import NOON, PERSON, Log, log_of, policy, tag, trigger


def event(name: str = "order", **properties: object) -> Event:
    return Event(
        person=PERSON,
        type=TRACK,
        name=name,
        message_id=f"{name}-1",
        occurred_at=NOON,
        received_at=NOON,
        properties=properties,
    )


def explained(
    log: Log,
    trigger_id: str = "hello",
    *events: Event,
    decisions: Sequence[Decision] | None = None,
    now: int | None = None,
) -> Explanation:
    recorded = log.out.decisions if decisions is None else decisions
    return explain(log.state, trigger_id, log.rules, recorded, now or log.now, events)


def test_a_send_is_told_from_its_record() -> None:
    log = log_of(trigger())
    log.event()
    told = explained(log)
    assert (told.verdict, told.decisions) == ("sent", 1)
    (finding,) = told.findings
    assert (finding.kind, finding.outcome, finding.event_id) == ("decision", "sent", "event-1")
    assert told.sentence == "hello for ada: 2026-06-10T12:00:00Z: sent"


def test_a_cap_is_told_with_its_numbers_and_when_it_frees() -> None:
    log = log_of(trigger(), policy("daily", limit=1, window="24h"))
    log.event()
    log.event(now=NOON + HOUR)
    told = explained(log)
    assert told.verdict == "cap"
    assert told.findings[-1].details["policy"] == "daily"
    assert "policy daily, count 1, limit 1, frees_at 2026-06-11T12:00:00Z" in told.sentence


def test_what_is_put_off_is_told_with_both_of_its_ends() -> None:
    log = log_of(trigger(when_capped={"action": "defer", "expires_after": "48h"}), policy())
    log.event()
    log.event(now=NOON + HOUR)
    told = explained(log)
    assert told.verdict == "put_off"
    assert "decided again at 2026-06-11T12:00:00Z, dropped from 2026-06-12T13:00:00Z" in (
        told.sentence
    )


def test_an_audience_that_refused_names_its_clause_and_the_value_it_found() -> None:
    log = log_of(tag("orders"), trigger(audience={"tag": "orders", "op": "gte", "value": 2}))
    log.event()
    told = explained(log)
    assert told.verdict == "audience"
    assert "tag orders is 1 and has to be at least 2 (audience)" in told.sentence
    # As it stands now is told beside it: the next order would find them in.
    assert told.findings[-1].kind == "audience"
    assert told.findings[-1].holds is False


def test_an_entry_that_did_not_match_is_evaluated_again_clause_by_clause() -> None:
    where = {
        "all": [
            {"property": "category", "op": "eq", "value": "baby"},
            {"any": [{"tag": "spend", "op": "gt", "value": 100}, {"not": {"trait": "vip"}}]},
        ]
    }
    where["all"][1]["any"][1]["not"]["op"] = "exists"  # type: ignore[index]
    log = log_of(tag("spend", "sum"), trigger(entry={"events": ["order"], "where": where}))
    log.identify({"vip": True})
    log.event(properties={"category": "baby", "amount": 40})
    told = explained(log, "hello", event(category="baby", amount=40))
    assert told.verdict == "entry_not_matched"
    (finding,) = told.findings
    assert finding.details["failing"]["actual"] == 40.0
    assert "tag spend is 40.0 and has to be greater than 100" in told.sentence
    assert "entry.where.all[1].any[0]" in told.sentence
    assert [(one.name, one.holds, one.negated) for one in finding.clauses] == [
        ("category", True, False),
        ("spend", False, False),
        ("vip", True, True),
    ]


def test_under_not_the_clause_that_holds_is_the_one_that_excludes() -> None:
    where = {"not": {"property": "amount", "op": "gt", "value": 10}}
    log = log_of(trigger(entry={"events": ["order"], "where": where}))
    log.event(properties={"amount": 40})
    assert "property amount is 40 and gt 10 is excluded" in (
        explained(log, "hello", event(amount=40)).sentence
    )


def test_without_an_event_of_its_own_that_is_the_reason() -> None:
    log = log_of(trigger())
    log.event("visit")
    told = explained(log, "hello", event("visit"))
    assert told.verdict == "no_event"
    assert told.sentence.endswith("entry: no order among the last 1 events")


def test_a_match_without_a_record_is_admitted() -> None:
    log = log_of(trigger())
    log.event()
    assert explained(log, "hello", event(), decisions=[]).verdict == "no_record"


def test_a_trigger_that_is_not_in_force_says_so() -> None:
    log = log_of(trigger("old", status="archived"))
    log.event()
    assert explained(log, "old").findings[0].details == {"status": "archived"}
    assert explained(log, "never").sentence.endswith("no such trigger: it decides nothing")


def test_an_entry_that_waits_says_until_when_and_for_what() -> None:
    entry = {"inactivity": {"events": ["login"], "lasts": "30d"}}
    log = log_of(trigger(entry=entry))
    log.event("visit")
    assert explained(log).findings[0].sentence.endswith("has not begun for them")
    log.event("login")
    told = explained(log)
    assert told.verdict == "waiting"
    assert told.findings[0].at == NOON + 30 * DAY
    assert told.findings[0].details["inactivity"]["lasts"] == "30d"


def test_records_of_others_do_not_count_and_one_written_again_counts_once() -> None:
    log = log_of(trigger(), trigger("other"))
    log.event()
    strangers = [msgspec.structs.replace(one, person="bob") for one in log.out.decisions]
    told = explained(log, decisions=[*log.out.decisions, *strangers, *log.out.decisions])
    assert told.decisions == 1


def test_of_many_records_the_newest_are_told_and_all_are_counted() -> None:
    log = log_of(trigger())
    for number in range(DECISIONS_TOLD_MAX + 5):
        log.event(now=NOON + number * MINUTE)
    told = explained(log)
    assert told.decisions == DECISIONS_TOLD_MAX + 5
    assert len(told.findings) == DECISIONS_TOLD_MAX
    assert told.findings[-1].at == log.now


def test_explaining_changes_nothing_and_says_the_same_again() -> None:
    where = {"tag": "orders", "op": "gte", "value": 5}
    log = log_of(tag("orders", window="24h"), trigger(entry={"events": ["order"], "where": where}))
    log.event()
    before = encode_state(log.state)
    # Two days later the window is empty: reading it must not empty the state.
    first = explained(log, "hello", event(), now=NOON + 2 * DAY)
    assert "tag orders is 0" in first.sentence
    assert encode_state(log.state) == before
    assert explained(log, "hello", event(), now=NOON + 2 * DAY) == first
