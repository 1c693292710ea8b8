"""The sentences of an explanation: decisions, clauses and values in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.contracts.decision import CANCELLED, Decision, Outcome
from services.contracts.time import Micros, from_micros

TEXT_CHARS_MAX: Final = 80
"""Of a value in a sentence; the fields beside it have all of it."""

_OUTCOMES: Final[dict[str, str]] = {
    "sent": "sent",
    "would_have_sent": "held out: everything else let it pass",
    "paused": "not sent, the trigger was not running",
    "consent": "not sent, the person's consent does not cover it",
    "audience": "not sent, the person is not in the audience",
    "rollout": "not sent, the rollout does not include the person",
    "dedup": "not sent, the same key was there before",
    "reentry": "not sent, the person may not enter again",
    "holdout": "not sent, the person is held out",
    "quiet_hours": "not sent, quiet hours",
    "cap": "not sent, a frequency cap is full",
    "expired": "not sent, it waited too long",
    "arbitration": "not sent, another trigger goes before it",
    "exit": "ended, the exit happened while it waited",
    "merge": "held back until all that is known of them under another id is here",
    "entered": "came in",
    "offered": "offered",
    "handed_off": "handed to people",
    "ended": "ended",
}
_TAKEN_BACK: Final[dict[str, str]] = {
    "paused": "the trigger is not running any more",
    "consent": "the person's consent does not cover it any more",
    "arbitration": "another trigger goes before it",
    "exit": "the exit happened",
}
"""Of what had been sent as far as the engine could."""
_INSTANTS: Final = ("_at", "until", "since")

_OPS: Final[dict[str, str]] = {
    "eq": "has to equal", "ne": "must not equal", "gt": "has to be greater than",
    "gte": "has to be at least", "lt": "has to be less than", "lte": "has to be at most",
    "in": "has to be one of", "not_in": "must be none of", "contains": "has to contain",
    "starts_with": "has to start with", "exists": "has to be there",
    "not_exists": "must not be there",
}  # fmt: skip


def instant(at: Micros) -> str:
    """An instant as ISO 8601 in UTC, to the second where it is one."""
    try:
        return from_micros(at).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{at} µs"


def names_text(names: Sequence[str]) -> str:
    """`A`, `A or B`, `A, B or C`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def value_text(value: Any) -> str:
    """A value as it would stand in a definition; None is a missing one."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(value_text, value))}]"
    else:
        text = str(value)
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"


def clause_text(failed: Mapping[str, Any]) -> str:
    """The failing clause of `clauses.failing` in words."""
    if "segment" in failed:
        said = "are in" if failed["actual"] else "are not in"
        return f"they {said} segment {failed['segment']} ({failed['clause']})"
    subject = next(name for name in ("property", "trait", "tag") if name in failed)
    op = str(failed["op"])
    value = f" {value_text(failed['value'])}" if "value" in failed else ""
    # Under `not` the clause holds, which is what keeps the whole from holding.
    wanted = f"{op}{value} is excluded" if failed.get("negated") else _OPS.get(op, op) + value
    told = f"{subject} {failed[subject]} is {value_text(failed['actual'])} and {wanted}"
    return f"{told} ({failed['clause']})"


def decision_text(one: Decision, label: str = "") -> str:
    """What a decision record says; `label` names the step it stands at."""
    details = dict(one.details)
    again = details.pop("deferred_until", None)
    if one.outcome is Outcome.STEPPED:
        outcome = _stepped_text(details)
    else:
        outcome = _OUTCOMES.get(one.outcome, str(one.outcome))
    if one.outcome is Outcome.PAUSED and "stopped" in details:
        outcome = "not sent, sending was stopped"
    if one.outcome is Outcome.ARBITRATION and again is not None:
        outcome = "held back in case a better one comes"
    if details.pop(CANCELLED, False):
        outcome = f"{_TAKEN_BACK.get(one.outcome, one.outcome)}: taken back if it is not out yet"
    told = f"{instant(one.now)}: {label and f'{label}: '}{outcome}"
    if "clause" in details:
        told += f": {clause_text(details)}"
    elif details:
        told += f" ({', '.join(f'{name} {_detail(name, details[name])}' for name in details)})"
    if again is not None:
        told += f", decided again at {_detail('deferred_until', again)}"
    return told


def _stepped_text(details: dict[str, Any]) -> str:
    """What came of a step that asks nothing of anybody; what it says leaves the details."""
    if "arm" in details:
        return f"took arm {details.pop('arm')}"
    if "set" in details:
        return f"set {details.pop('set')} to {value_text(details.pop('value', None))}"
    if "remove" in details:
        return f"removed {details.pop('remove')}"
    way = details.pop("way", None)
    return "waited" if way is None else f"went by `{way}`"


def _detail(name: str, value: Any) -> str:
    if type(value) is int and name.endswith(_INSTANTS):
        return instant(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(one)}" for key, one in value.items()) or "none"
    return value if isinstance(value, str) else value_text(value)
