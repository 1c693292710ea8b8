"""What is right and yet worth another look, each with its place: never a reason to refuse."""

from collections.abc import Iterator

from services.contracts.definitions import Bundle, Trigger
from services.contracts.steps import STEPS_EASY, Step
from services.triggers.engine.check_steps import all_steps
from services.triggers.engine.program import inner_lists


def warnings(bundle: Bundle) -> list[tuple[str, str]]:
    """Warnings as (place, what to think of), in a fixed order. `check` has found no problems."""
    return [
        (f"triggers.{trigger.id}.{name}", told)
        for trigger in bundle.triggers
        for name, told in _of_trigger(trigger)
    ]


def _of_trigger(trigger: Trigger) -> Iterator[tuple[str, str]]:
    steps = [step for _, step in all_steps(trigger.steps)]
    if len(steps) > STEPS_EASY:
        yield "steps", f"{len(steps)} steps: past {STEPS_EASY} a journey is hard to follow"
    if any(step.wait is not None for step in steps) and trigger.exit is None:
        yield "exit", "missing: it waits, and nothing the person does meanwhile ends it"
    last = _last_wait(trigger.steps, "steps")
    if last is not None:
        yield last, "nothing comes after this wait"


def _last_wait(steps: tuple[Step, ...], place: str) -> str | None:
    """The place of a wait that stands last, and so only keeps the run from its end."""
    if not steps:
        return None
    at, step = f"{place}[{len(steps) - 1}]", steps[-1]
    if step.wait is not None:
        return f"{at}.wait"
    if step.wait_for is not None and not (step.wait_for.then or step.wait_for.on_timeout):
        return f"{at}.wait_for"
    found = (_last_wait(inner, f"{at}.{name}") for name, inner in inner_lists(step))
    return next((one for one in found if one is not None), None)
