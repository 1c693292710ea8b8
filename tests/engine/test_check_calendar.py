"""Entries by the profile and by the calendar that cannot be right are refused with the place."""

from typing import Any

import pytest

from services.triggers.engine import check
from tests.engine.build import bundle, tag, trigger

TAGS = (
    tag("orders", window="30d"),
    tag("spent", "sum", window="30d"),
    tag("last", "last"),
    tag("top", "top_k"),
)


def problems(**entry: Any) -> list[tuple[str, str]]:
    found = check(bundle(*TAGS, trigger("t", entry=entry)))
    return [(place.removeprefix("triggers.t.entry."), reason) for place, reason in found]


@pytest.mark.parametrize(
    "entry",
    [
        {"tag_change": {"tag": "orders", "change": "entered", "op": "gte", "value": 3}},
        {"tag_change": {"tag": "last", "change": "left", "op": "in", "value": ["a", "b"]}},
        {"tag_change": {"tag": "top", "change": "entered", "op": "contains", "value": "shoes"}},
        {"tag_change": {"tag": "last", "change": "entered", "op": "exists"}},
        {"tag_change": {"tag": "top", "change": "changed"}},
        {"threshold": {"tag": "spent", "direction": "up", "bound": 1000}},
        {"threshold": {"tag": "spent", "direction": "down", "bound": -10}},
        {"threshold": {"tag": "last", "direction": "down", "bound": 0}},
        {"threshold": {"tag": "orders", "direction": "down", "bound": 0.5, "share_of": "spent"}},
        {"date": {"trait": "birthday", "yearly": True, "offset_days": -7, "at": "08:00"}},
        {"schedule": {"cron": "0 9 * * mon", "time_zone": "Asia/Shanghai", "spread": "1h"}},
        {"schedule": {"cron": "0 9 * * *", "spread": "24h"}},
    ],
)
def test_right_ones_have_no_problems(entry: dict[str, Any]) -> None:
    assert problems(**entry) == []


@pytest.mark.parametrize(
    ("entry", "place", "reason"),
    [
        ({"tag": "x", "change": "changed"}, "tag", "unknown tag 'x'"),
        ({"tag": "x", "change": "left", "op": "exists"}, "tag", "unknown tag 'x'"),
        ({"tag": "orders", "change": "entered"}, "op", "needs an op"),
        ({"tag": "orders", "change": "left", "op": "gte"}, "value", "needs a value"),
        ({"tag": "orders", "change": "left", "op": "contains", "value": 1}, "op", "is a number"),
        ({"tag": "top", "change": "left", "op": "gte", "value": 1}, "op", "is a list"),
        ({"tag": "orders", "change": "left", "op": "eq", "value": "3"}, "value", "is a text"),
        ({"tag": "orders", "change": "entered", "op": "in", "value": 3}, "value", "list"),
        ({"tag": "orders", "change": "changed", "op": "gte"}, "op", "takes none"),
        ({"tag": "orders", "change": "changed", "value": 3}, "value", "takes none"),
    ],
)
def test_wrong_tag_changes_are_refused(entry: dict[str, Any], place: str, reason: str) -> None:
    ((found, told),) = problems(tag_change=entry)
    assert found == f"tag_change.{place}"
    assert reason in told


@pytest.mark.parametrize(
    ("entry", "place", "reason"),
    [
        ({"tag": "x", "bound": 1}, "tag", "unknown tag 'x'"),
        ({"tag": "top", "bound": 1}, "tag", "is a list"),
        ({"tag": "orders", "bound": 0.5, "share_of": "x"}, "share_of", "unknown tag 'x'"),
        ({"tag": "orders", "bound": 0.5, "share_of": "top"}, "share_of", "is a list"),
        ({"tag": "orders", "bound": 0.5, "share_of": "orders"}, "share_of", "of itself"),
        ({"tag": "orders", "bound": 0, "share_of": "spent"}, "bound", "greater than 0"),
        ({"tag": "orders", "bound": 0}, "bound", "never below 0"),
        ({"tag": "orders", "bound": float("inf")}, "bound", "finite"),
        ({"tag": "orders", "bound": float("nan")}, "bound", "finite"),
    ],
)
def test_wrong_thresholds_are_refused(entry: dict[str, Any], place: str, reason: str) -> None:
    ((found, told),) = problems(threshold={"direction": "up", **entry})
    assert found == f"threshold.{place}"
    assert reason in told


@pytest.mark.parametrize(
    ("entry", "place", "reason"),
    [
        ({"cron": "0 9 * *"}, "cron", "five fields"),
        ({"cron": "0 25 * * *"}, "cron", "hour '25': 25 is outside 0 to 23"),
        ({"cron": "0 0 30 2 *"}, "cron", "never due"),
        ({"cron": "0 9 * * *", "time_zone": "Mars/Base"}, "time_zone", "unknown time zone"),
        ({"cron": "0 9 * * *", "spread": "25h"}, "spread", "longer than the 1440 minutes"),
        ({"cron": "*/10 * * * *", "spread": "11m"}, "spread", "longer than the 10 minutes"),
        ({"cron": "0 9 * * *", "spread": "9000d"}, "spread", "ten years"),
    ],
)
def test_wrong_schedules_are_refused(entry: dict[str, Any], place: str, reason: str) -> None:
    ((found, told),) = problems(schedule=entry)
    assert found == f"schedule.{place}"
    assert reason in told
