"""Quiet hours, tiers and waits that cannot be right are refused with place and reason."""

from typing import Any

import pytest

from services.triggers.engine import check
from tests.engine.build import bundle, trigger

NIGHT = {"start": "22:00", "end": "08:00"}


def test_right_ones_have_no_problems() -> None:
    definitions = bundle(
        trigger(
            group="alone",
            arbitration_window="1h",
            rollout=0,
            holdout=100,
            in_quiet_hours="drop",
        ),
        consent="opt_in",
        quiet_hours=[NIGHT, {**NIGHT, "start": "00:00", "channels": ["mail"]}],
        value_tiers={"trait": "tier", "bonuses": {"gold": 1, "none": 0}},
        test_people=["ada"],
    )
    assert check(definitions) == []


@pytest.mark.parametrize(
    ("workspace", "place", "reason"),
    [
        (
            {"quiet_hours": [NIGHT, {"start": "08:00", "end": "08:00"}]},
            "quiet_hours[1].end",
            "08:00",
        ),
        (
            {"quiet_hours": [NIGHT, {"start": "08:00", "end": "22:00", "channels": ["mail"]}]},
            "quiet_hours",
            "for channel mail",
        ),
        ({"value_tiers": {"trait": "t", "bonuses": {}}}, "value_tiers.bonuses", "without effect"),
        (
            {"value_tiers": {"trait": "t", "bonuses": {"gold": 0}}},
            "value_tiers.bonuses",
            "without effect",
        ),
    ],
)
def test_a_wrong_workspace_is_refused(workspace: dict[str, Any], place: str, reason: str) -> None:
    [(found, told)] = check(bundle(**workspace))
    assert found == f"workspace.{place}"
    assert reason in told


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"arbitration_window": "2h", "send_within": "1h"}, "longer than send_within, 1h"),
        (
            {"arbitration_window": "2h", "when_capped": {"expires_after": "2h"}},
            "it would expire while it waits",
        ),
        ({"arbitration_window": "1h", "priority": 100}, "nothing goes before priority 100"),
        ({"arbitration_window": "4000d"}, "longer than ten years"),
    ],
)
def test_a_wrong_wait_for_a_better_one_is_refused(fields: dict[str, Any], reason: str) -> None:
    [(place, told)] = check(bundle(trigger("t", **fields)))
    assert place == "triggers.t.arbitration_window"
    assert reason in told
