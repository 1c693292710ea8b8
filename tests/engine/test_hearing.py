"""What sensors write out of themselves for speed, against their own `hear`."""

from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.time import HOUR, MINUTE, Micros
from services.triggers.engine.hearing import one_by_one
from services.triggers.engine.limits import SEQUENCE_EVENTS_MAX, SETTLED_KEYS_MAX, WAITING_KEYS_MAX
from tests.engine.build import NOON, Log, log_of, tag, trigger

DEAR = {"property": "price", "op": "gte", "value": 3}
ENTRIES: dict[str, Any] = {
    "sequence": {
        "parts": [{"events": ["a"]}, {"events": ["b"], "where": DEAR}],
        "within": "1h",
        "key": ["k"],
    },
    "chain": {
        "parts": [{"events": ["a", "b"]}, {"events": ["b"], "where": DEAR}, {"events": ["c"]}],
        "within": "2h",
    },
    "absence": {
        "after": {"events": ["a"]},
        "without": {"events": ["b"], "where": DEAR},
        "within": "30m",
        "key": ["k"],
    },
    "other_absence": {
        "after": {"events": ["a", "c"], "where": DEAR},
        "without": {"events": ["b", "c"]},
        "within": "3h",
        "key": ["k", "o.n"],
    },
    "inactivity": {"events": ["a", "c"], "lasts": "40m"},
    "tag_change": {"tag": "spent", "change": "entered", "op": "gte", "value": 6},
    "fewer": {"tag": "count", "change": "left", "op": "lt", "value": 2.5},
    "often": {"tag": "other", "change": "entered", "op": "gt", "value": 3},
    "exactly": {"tag": "count", "change": "entered", "op": "in", "value": [2, 4]},
    "value": {"tag": "last", "change": "changed"},
    "threshold": {"tag": "count", "direction": "up", "bound": 3},
    "share": {"tag": "count", "direction": "down", "bound": 2, "share_of": "spent"},
}
KINDS = {
    "chain": "sequence",
    "exactly": "tag_change",
    "fewer": "tag_change",
    "often": "tag_change",
    "other_absence": "absence",
    "share": "threshold",
    "value": "tag_change",
}
TAGS = (
    tag("count", events=["a", "b"], window="1h"),
    tag("other", events=["b", "c"], window="2h"),
    tag("spent", "sum", events=["a", "c"], value="price", window="1h"),
    tag("last", "last", events=["b"], value="k", window="2h"),
)
EXITS = {"chain": {"events": ["c"], "key": ["k"]}, "other_absence": {"events": ["b"], "key": ["k"]}}

events = st.tuples(
    st.sampled_from("abc"),
    st.fixed_dictionaries(
        {"price": st.integers(0, 6)},
        optional={"k": st.sampled_from(["x", "y", 1, 1.0, None]), "o": st.just({"n": "z"})},
    ),
    st.sampled_from([0, 0, 1, MINUTE, 20 * MINUTE, HOUR]),
    st.sampled_from([0, 0, 0, 1, MINUTE, HOUR, 2 * HOUR + 1]),
)


def written_and_called() -> tuple[Log, Log]:
    """The same triggers: once as they are compiled, once by calls alone."""
    logs = [
        log_of(
            *(
                trigger(id_, entry={KINDS.get(id_, id_): entry}, exit=EXITS.get(id_))
                for id_, entry in ENTRIES.items()
            ),
            *TAGS,
            late_after="2h",
        )
        for _ in range(2)
    ]
    written, called = logs
    rules = called.rules
    concerned = {
        name: (
            cleaner,
            None,
            react,
            one_by_one(
                [
                    (key, rule, one)
                    for key, (rule, one) in rules.sensors.items()
                    if name in one.hears
                ]
            ),
            awaited,
        )
        for name, (cleaner, _, react, _, awaited) in rules.concerned.items()
    }
    called.rules = msgspec.structs.replace(rules, concerned=concerned)
    return written, called


Told = tuple[str, dict[str, Any], Micros, Micros]
"""An event's name and properties, how long after the last it came and how long before it was."""


def hold_equal(drawn: Iterable[Told]) -> None:
    written, called = written_and_called()
    now = NOON
    for number, (name, properties, later, ago) in enumerate(drawn):
        now += later
        told = [
            log.event(name, properties, now=now, occurred_at=now - ago, id_=f"e{number}")
            for log in (written, called)
        ]
        assert told[0] == told[1]
        assert written.state.slots == called.state.slots
        assert written.state.next_due == called.state.next_due


@settings(max_examples=40)
@given(st.lists(events, max_size=30))
def test_what_is_written_out_does_what_a_call_does(drawn: list[Told]) -> None:
    hold_equal(drawn)


def test_what_is_written_out_does_what_a_call_does_for_long() -> None:
    draw = Random(1)
    hold_equal(
        (
            draw.choice("abc"),
            {"price": draw.randrange(6), "k": draw.choice("xy"), "o": {"n": "z"}},
            draw.choice([0, 1, MINUTE, HOUR]),
            draw.choice([0, 0, 0, 1, MINUTE]),
        )
        for _ in range(200)
    )


def test_what_is_written_out_does_what_a_call_does_past_every_bound() -> None:
    keys = max(SEQUENCE_EVENTS_MAX, WAITING_KEYS_MAX, SETTLED_KEYS_MAX) + 2
    hold_equal(
        (name, {"k": f"k{number % keys}", "price": number % 5, "o": {"n": number % 3}}, 1, 0)
        for number in range(2 * keys)
        for name in "abcb"
    )
