"""What is wrong with who gets something and when: quiet hours, value tiers, arbitration."""

from collections.abc import Iterator

from services.contracts.definitions import Trigger, Workspace
from services.contracts.steps import CHANNELS
from services.contracts.time import parse_duration
from services.triggers.engine.quiet import quiet_minutes

PRIORITY_HIGHEST = 100


def quiet_hours_problems(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Quiet hours without length, and those that leave a channel no minute."""
    empty = False
    for number, one in enumerate(workspace.quiet_hours):
        if one.start == one.end:
            empty = True
            reason = f"equal to the start, {one.start}: is no minute quiet, or every one?"
            yield f"quiet_hours[{number}].end", reason
    if empty:
        return
    for channel in CHANNELS:
        if all(quiet_minutes(workspace.quiet_hours, channel)):
            yield "quiet_hours", f"together they leave no minute of the day for channel {channel}"


def value_tiers_problems(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Tiers that raise nobody."""
    tiers = workspace.value_tiers
    if tiers is not None and not any(tiers.bonuses.values()):
        yield "value_tiers.bonuses", "without effect: none of them adds to a priority"


def arbitration_problems(trigger: Trigger) -> Iterator[tuple[str, str]]:
    """A wait for a better candidate that cannot end well. The trigger's durations are right."""
    if trigger.arbitration_window is None:
        return
    window = parse_duration(trigger.arbitration_window)
    if trigger.priority == PRIORITY_HIGHEST:
        reason = f"without effect: nothing goes before priority {PRIORITY_HIGHEST}"
        yield "arbitration_window", reason
    if window > parse_duration(trigger.send_within):
        reason = f"longer than send_within, {trigger.send_within}"
        yield "arbitration_window", reason
    expires_after = trigger.when_capped.expires_after
    if window >= parse_duration(expires_after):
        reason = f"it would expire while it waits: when_capped.expires_after is {expires_after}"
        yield "arbitration_window", reason
