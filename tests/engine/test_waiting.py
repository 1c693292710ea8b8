"""Entries that wait agree with an engine that keeps everything and asks by definition."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.contracts.decision import CANCELLED, Decision, Outcome
from services.contracts.definitions import Trigger
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine import check, compile_rules, encode_state
from tests.engine.build import NOON, Log, bundle, policy, tag, trigger
from tests.engine.waiting_oracle import Records, came_in

CARTS = tag("cart", events=["cart"])
HELD = "held"
DEFER = {"action": "defer", "expires_after": "2d"}
TICK = 5 * HOUR
END = 30 * DAY
KINDS = ["absence", "sequence", "inactivity"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something arrives `later` than the last record, `behind` its own time.

    `again` sends an earlier event's id once more. While nobody `ticks`, time goes on unseen.
    """

    name: str
    later: Micros
    behind: Micros
    ticks: bool
    sku: str | None
    paid: bool
    again: int | None


WHERE = st.sampled_from(
    [
        None,
        None,
        None,
        None,
        None,
        {"property": "paid", "op": "eq", "value": True},
        {"tag": "cart", "op": "gte", "value": 2},
    ]
)
NAMES = st.sampled_from([["cart"], ["order"], ["pay"], ["cart", "pay"], ["order", "pay"]])
KEY = st.sampled_from([[], [], ["sku"], ["sku"], ["sku", "paid"]])
SPAN = st.sampled_from(["30m", "5h", "24h", "3d", "3d"])


@st.composite
def matches(draw: st.DrawFn) -> dict[str, Any]:
    return {"events": draw(NAMES), "where": draw(WHERE)}


@st.composite
def exits(draw: st.DrawFn, *, keyed: bool = True) -> dict[str, Any] | None:
    if draw(st.booleans()):
        return None
    return {**draw(matches()), "key": draw(KEY) if keyed else []}


@st.composite
def waiting(draw: st.DrawFn, kind: str) -> Trigger:
    """One trigger whose entry waits."""
    if kind == "inactivity":
        entry: dict[str, Any] = {"events": draw(NAMES), "lasts": draw(SPAN)}
    elif kind == "absence":
        entry = {"after": draw(matches()), "without": draw(matches())}
    else:
        entry = {"parts": draw(st.lists(matches(), min_size=2, max_size=3))}
    if kind != "inactivity":
        entry |= {"within": draw(SPAN), "key": draw(KEY)}
    made = trigger("t", entry={kind: entry}, exit=draw(exits(keyed=kind != "inactivity")))
    assume(not check(bundle(CARTS, made)))
    return made


SHORT = [0, 1, MINUTE, 30 * MINUTE, HOUR]
LONG = st.sampled_from([*SHORT, *SHORT, 5 * HOUR, DAY - HOUR, DAY, 3 * DAY])
STEPS = st.lists(
    st.builds(
        Step,
        name=st.sampled_from(["cart", "cart", "order", "pay"]),
        later=LONG,
        behind=st.one_of(st.just(0), st.just(0), LONG, st.sampled_from([-MINUTE, -HOUR, DAY + 1])),
        ticks=st.booleans(),
        sku=st.sampled_from(["a", "a", "a", "a", "b", None]),
        paid=st.booleans(),
        again=st.sampled_from([*[None] * 9, 0, 1, 2]),
    ),
    min_size=8,
    max_size=16,
)


def entries(decisions: list[Decision]) -> list[Decision]:
    """Without the records of what was sent and is taken back."""
    return [one for one in decisions if CANCELLED not in one.details]


def play(log: Log, steps: list[Step]) -> tuple[Records, dict[int, list[Decision]]]:
    """Play the steps to the engine; gives what arrived, and the decisions of each record.

    Ticks come as from a worker: the engine is only woken when it asked to be.
    """
    records = Records()
    decided: dict[int, list[Decision]] = {}

    def tick(now: Micros) -> None:
        if log.state.wake_at is not None and log.state.wake_at <= now:
            decided[len(records.times)] = entries(log.wake(now))
        records.tick(now)

    for number, step in enumerate(steps):
        now = log.now + step.later
        if step.ticks:
            for moment in range(log.now - log.now % TICK + TICK, now, TICK):
                tick(moment)
        again = step.again is not None and step.again < number
        id_ = f"e{step.again}" if again else f"e{number}"
        properties = {"sku": step.sku, "paid": step.paid}
        decided[len(records.times)] = entries(
            log.event(step.name, properties, now=now, occurred_at=now - step.behind, id_=id_)
        )
        records.event(id_, step.name, properties, now - step.behind, now)
    tick(log.now + END)
    return records, decided


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(data=st.data(), steps=STEPS, reload=st.booleans())
def test_who_comes_in_is_who_should(
    kind: str, data: st.DataObject, steps: list[Step], reload: bool
) -> None:
    one = data.draw(waiting(kind))
    definitions = bundle(CARTS, one, message_id_window="400d")
    log = Log(rules=compile_rules(definitions), now=NOON, reload=reload)
    records, decided = play(log, steps)
    got = sorted((n, made.event_id) for n, all_ in decided.items() for made in all_)
    assert got == [(made.n, made.event_id) for made in came_in(one, records)]
    assert {made.outcome for made in entries(log.out.decisions)} <= {Outcome.SENT}


@settings(max_examples=75, deadline=None)
@given(exits(), STEPS, st.booleans())
def test_nothing_goes_out_after_an_exit(
    way_out: dict[str, Any] | None, steps: list[Step], reload: bool
) -> None:
    entry = {"events": ["cart", "pay"]}
    held = trigger(HELD, entry=entry, exit=way_out, when_capped=DEFER)
    cap = policy(window="6h", kind="trigger", value=HELD)
    log = Log(
        rules=compile_rules(bundle(CARTS, held, cap, message_id_window="400d")),
        now=NOON,
        reload=reload,
    )
    records, decided = play(log, steps)
    for event in records.events:
        line = [
            (n, made.outcome, made.details)
            for n, all_ in sorted(decided.items())
            for made in all_
            if made.event_id == event.id
        ]
        left = min(records.exits_from(held, event), default=None)
        waits = [n for n, outcome, details in line if "deferred_until" in details]
        if left is None or not any(n < left for n in waits):
            assert Outcome.EXIT not in [outcome for _, outcome, _ in line]
            continue
        ended = next((outcome for n, outcome, details in line if n not in waits), None)
        before = [n for n, _, _ in line if n < left]
        if before and before[-1] in waits:
            assert (line[-1][0], line[-1][1]) == (left, Outcome.EXIT)
        else:
            assert ended is not Outcome.EXIT


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(KINDS).flatmap(waiting), STEPS)
def test_a_restart_before_every_record_changes_no_byte(one: Trigger, steps: list[Step]) -> None:
    states = []
    for reload in (False, True):
        log = Log(rules=compile_rules(bundle(CARTS, one)), now=NOON, reload=reload)
        play(log, steps)
        states.append(encode_state(log.state))
    assert states[0] == states[1]
