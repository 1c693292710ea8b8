"""Scores that are given only to those whom the population of their cuts is made of."""

from typing import Any

import msgspec

from services.contracts.definitions import Tag
from services.triggers.engine import check
from tests.engine.build import bundle, log_of, tag, trigger

SCORE = {"of": "visits", "cuts": [1, 2, 3, 4], "among": "since_order"}


def scored(**changes: Any) -> tuple[Tag, ...]:
    """A score of visits among those who ordered."""
    score = {"id": "score", "derive": {"score": {**SCORE, **changes}}}
    since = {"id": "since_order", "aggregate": "recency", "events": ["order"]}
    return (
        tag("visits", events=["visit"]),
        msgspec.convert(since, Tag),
        msgspec.convert(score, Tag),
    )


def test_whoever_is_not_among_them_has_no_score_until_they_are() -> None:
    log = log_of(*scored())
    log.event("visit")
    log.event("visit")
    assert log.tag("score") is None
    log.event("order")
    assert log.tag("score") == 2


def test_becoming_one_of_them_is_a_change_of_the_score() -> None:
    entry = {"tag_change": {"tag": "score", "change": "changed"}}
    log = log_of(*scored(), trigger("t", entry=entry))
    log.event("visit")
    assert log.outcomes() == []
    log.event("order")
    assert log.outcomes() == ["sent"]


def test_whom_scores_are_given_to_is_a_known_tag() -> None:
    ((place, reason),) = check(bundle(*scored(among="nobody")))
    assert (place, reason) == ("tags.score.derive.score.among", "unknown tag 'nobody'")
