"""Derived tags over history: a backtest finds what time changed, at the time when it did."""

from services.contracts.decision import Decision
from services.contracts.event import TRACK, Event
from services.contracts.time import DAY
from services.triggers.backtest.play import Play
from services.triggers.engine import compile_rules
from tests.engine.build import NOON, bundle, tag, trigger
from tests.engine.tagging import derived


def test_a_backtest_decides_on_labels_that_time_alone_changes() -> None:
    entry = {"tag_change": {"tag": "risk", "change": "entered", "op": "eq", "value": "at_risk"}}
    rules = compile_rules(
        bundle(
            tag("quiet", "recency", value=None),
            derived(
                "risk",
                cases=[
                    {"label": "at_risk", "when": {"tag": "quiet", "op": "gte", "value": 60}},
                ],
            ),
            trigger("t", entry=entry),
        )
    )
    heard: list[tuple[str, int]] = []

    def hear(decisions: list[Decision]) -> None:
        heard.extend((one.person, one.now) for one in decisions)

    play = Play(rules, hear)
    for number, (person, day) in enumerate((("ann", 0), ("bob", 10), ("ann", 59), ("bob", 80))):
        at = NOON + day * DAY
        play.happen(
            Event(
                person=person,
                type=TRACK,
                name="order",
                message_id=f"m{number}",
                occurred_at=at,
                received_at=at,
            ),
            at,
        )
    play.advance(NOON + 365 * DAY)
    assert heard == [
        ("bob", NOON + 70 * DAY),
        ("ann", NOON + 119 * DAY),
        ("bob", NOON + 140 * DAY),
    ]
