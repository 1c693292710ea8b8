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


def test_a_value_that_never_crossed_its_bound_is_told_with_both() -> None:
    crossing = {"threshold": {"tag": "spend", "direction": "up", "bound": 1000}}
    log = log_of(tag("spend", "sum", window="30d"), trigger(entry=crossing))
    log.event(properties={"amount": 812})
    told = explained(log)
    assert told.verdict == "entry_not_matched"
    assert "tag spend is 812.0, asked is that it rises to 1000" in told.sentence


def test_a_share_of_another_tag_is_worked_out() -> None:
    halved = {"tag": "now", "direction": "down", "bound": 0.5, "share_of": "before"}
    log = log_of(
        tag("now", window="30d"),
        tag("before", window="60d"),
        trigger(entry={"threshold": halved}),
    )
    for day in range(4):
        log.event(now=NOON + day * DAY)
    assert "falls below 2 (0.5 of tag before, 4)" in explained(log).sentence


def test_a_tag_that_is_not_what_the_entry_wants_is_told_with_its_value() -> None:
    entry = {"tag_change": {"tag": "orders", "change": "entered", "op": "gte", "value": 3}}
    log = log_of(tag("orders"), trigger(entry=entry))
    log.event()
    told = explained(log)
    assert told.verdict == "entry_not_matched"
    assert "tag orders is 1, which is not gte 3: they come in when it becomes so" in told.sentence


def test_a_date_without_its_trait_is_told() -> None:
    log = log_of(trigger(entry={"date": {"trait": "birthday", "yearly": True}}))
    log.event("visit")
    told = explained(log)
    assert told.verdict == "entry_not_matched"
    assert "trait birthday is missing" in told.sentence
    log.identify({"birthday": "1990-06-20"})
    assert explained(log).verdict == "waiting"


ABSENCE = {
    "absence": {
        "after": {"events": ["cart"]},
        "without": {"events": ["order"]},
        "within": "24h",
        "key": ["product"],
    }
}


def test_an_absence_waits_and_is_ended_by_what_should_not_have_been_missing() -> None:
    log = log_of(trigger(entry=ABSENCE))
    log.event("cart", {"product": "a"})
    waiting = explained(log, "hello", event("cart", product="a"))
    assert (waiting.verdict, waiting.findings[0].at) == ("waiting", NOON + DAY)
    log.event("order", {"product": "a"}, now=NOON + HOUR)
    told = explained(log, "hello", event("cart", product="a"), event("order", product="a"))
    assert told.verdict == "entry_not_matched"
    assert "entry.absence.without: order at" in told.sentence


def test_of_a_sequence_the_part_that_is_missing_is_told() -> None:
    entry = {
        "sequence": {
            "parts": [{"events": ["mail"]}, {"events": ["view"]}],
            "within": "1h",
        }
    }
    log = log_of(trigger(entry=entry))
    log.event("mail")
    told = explained(log, "hello", event("mail"))
    assert told.sentence.endswith("entry.sequence.parts[1]: no view among the last 1 events")
    log.event("view", now=NOON + 2 * HOUR)
    told = explained(log, "hello", event("mail"), event("view"))
    assert (told.verdict, told.sentence[-12:]) == ("entry_not_matched", "with one key")


def test_an_exit_that_ended_what_waited_is_told_from_its_record() -> None:
    log = log_of(
        trigger(exit={"events": ["cancel"]}, when_capped={"action": "defer"}), policy(limit=1)
    )
    log.event()
    log.event(now=NOON + HOUR)
    log.event("cancel", now=NOON + 2 * HOUR, id_="the-cancel")
    told = explained(log, "hello", event("cancel"))
    assert told.verdict == "exit"
    assert "exit_event_id the-cancel" in told.sentence
    assert [one.kind for one in told.findings][-1] == "exit"
