"""What is wrong with the steps of a trigger."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

from services.contracts.conditions import Condition, Scalar
from services.contracts.definitions import Trigger
from services.contracts.entries import Exit
from services.contracts.steps import (
    STEPS_DEPTH_MAX,
    STEPS_MAX,
    Branch,
    Handoff,
    Send,
    SetTag,
    Split,
    Step,
    Wait,
    WaitFor,
)
from services.contracts.templates import Template
from services.contracts.time import parse_duration
from services.triggers.engine.check_conditions import Problems
from services.triggers.engine.check_templates import template_of_send_problems
from services.triggers.engine.check_waiting import (
    WITHOUT_EVENT,
    check_duration,
    check_events,
    check_key,
)
from services.triggers.engine.contents import content_of
from services.triggers.engine.limits import TRAIT_BYTES_MAX, TRAIT_NAME_CHARS_MAX
from services.triggers.engine.program import inner_lists
from services.triggers.engine.standing import NOTHING_STANDS, Standing

STEP_WAIT_MAX: Final = "366d"
"""The longest time of one step: a run is to come to its end while somebody remembers it."""

KINDS: Final = Step.__struct_fields__
_EFFECTS: Final = frozenset({"send", "offer", "handoff", "tag"})
_WITH_ENDPOINTS: Final = frozenset({"webhook", "wecom"})
_SAYING: Final = frozenset({"sms", "push", "wecom", "inbox"})
"""What they bring is these texts and nothing else."""
_TAG_BYTES_SPARE: Final = 5
"""What msgpack adds to a text at most."""

Placed = tuple[str, Step]


def kind_of(step: Step) -> str | None:
    """The name of the one field that a step gives, None where it is not one."""
    given = [name for name in KINDS if getattr(step, name) is not None]
    return given[0] if len(given) == 1 else None


def all_steps(
    steps: Sequence[Step], place: str = "steps", depth: int = STEPS_DEPTH_MAX
) -> Iterator[Placed]:
    """Every step in the order of its number, with its place in the trigger, down to `depth`."""
    for number, step in enumerate(steps):
        at = f"{place}[{number}]"
        yield at, step
        if depth > 1:
            for name, inner in inner_lists(step):
                yield from all_steps(inner, f"{at}.{name}", depth - 1)


def step_conditions(trigger: Trigger) -> Iterator[tuple[str, Condition]]:
    """Every condition of a trigger's steps, with its place in the trigger."""
    for place, step in all_steps(trigger.steps):
        if step.branch is not None:
            yield f"{place}.branch.if", step.branch.if_
        if step.wait_for is not None and step.wait_for.where is not None:
            yield f"{place}.wait_for.where", step.wait_for.where


def check_steps(
    trigger: Trigger, place: str, problems: Problems, *, templates: Mapping[str, Template]
) -> None:
    """Check the steps of a trigger whose shape and conditions are right."""
    found = list(all_steps(trigger.steps))
    before = len(problems)
    if len(found) > STEPS_MAX:
        reason = f"{len(found)} with the inner ones, at most {STEPS_MAX} are allowed"
        problems.append((f"{place}.steps", reason))
    for at, step in found:
        told = _step_problems(at, step, templates)
        problems += [(f"{place}.{name}", reason) for name, reason in told]
        if step.send is not None:
            told = template_of_send_problems(trigger, step.send, templates)
            problems += [(f"{place}.{at}.send.{name}", reason) for name, reason in told]
    for at in _too_deep(trigger.steps, f"{place}.steps"):
        problems.append((at, f"nested deeper than {STEPS_DEPTH_MAX} lists"))
    if len(problems) > before:
        return
    if not any(kind_of(step) in _EFFECTS for _, step in found):
        problems.append((f"{place}.steps", "nothing comes of it: no send, offer, handoff or tag"))
    for at, step in found:
        if step.wait_for is not None:
            told = _wait_for_problems(trigger, step.wait_for)
            problems += [(f"{place}.{at}.wait_for.{name}", reason) for name, reason in told]
    _Walk(problems).follow(trigger.steps, f"{place}.steps", _at_entry(trigger))


def _too_deep(steps: Sequence[Step], place: str, depth: int = 1) -> Iterator[str]:
    for number, step in enumerate(steps):
        for name, inner in inner_lists(step):
            at = f"{place}[{number}].{name}"
            if depth < STEPS_DEPTH_MAX:
                yield from _too_deep(inner, at, depth + 1)
            elif inner:
                yield at


def _step_problems(
    place: str, step: Step, templates: Mapping[str, Template]
) -> Iterator[tuple[str, str]]:
    """What is wrong with one step, whatever stands around it."""
    kind = kind_of(step)
    if kind is None:
        found = ", ".join(name for name in KINDS if getattr(step, name) is not None) or "none"
        yield place, f"exactly one of {', '.join(KINDS)} is needed, found {found}"
        return
    told: Iterator[tuple[str, str]] = iter(())
    if step.send is not None:
        told = _send_problems(step.send, templates.get(step.send.template or ""))
    elif step.wait is not None:
        told = _wait_problems(step.wait)
    elif step.wait_for is not None:
        told = _waiting_problems(step.wait_for)
    elif step.branch is not None:
        told = _branch_problems(step.branch)
    elif step.split is not None:
        told = _split_problems(step.split)
    elif step.tag is not None:
        told = _tag_problems(step.tag)
    elif step.handoff is not None:
        told = _handoff_problems(step.handoff)
    for name, reason in told:
        yield f"{place}.{kind}{name and f'.{name}'}", reason


def _send_problems(send: Send, template: Template | None) -> Iterator[tuple[str, str]]:
    if send.channel in _WITH_ENDPOINTS and send.endpoint is None:
        yield "endpoint", f"channel {send.channel} needs the name of an endpoint"
    if send.channel not in _WITH_ENDPOINTS and send.endpoint is not None:
        yield "endpoint", f"channel {send.channel} has no endpoints"
    if send.content.html and send.channel != "mail":
        yield "content.html", f"channel {send.channel} knows no HTML"
    if send.template is not None and template is None:
        return  # nobody knows what it says
    content = content_of(send, template)
    subject, body = content.subject.strip(), content.body.strip()
    if send.channel == "mail":
        for name, text in (("subject", subject), ("body", body)):
            if not text:
                yield f"content.{name}", f"a mail needs a {name}"
    elif send.channel in _SAYING and not (subject or body):
        yield "content", f"channel {send.channel} needs a subject or a body"


def _handoff_problems(handoff: Handoff) -> Iterator[tuple[str, str]]:
    if not handoff.content.subject.strip():
        yield "content.subject", "a task needs a title"


def _wait_problems(wait: Wait) -> Iterator[tuple[str, str]]:
    if wait.for_ is None and wait.until is None:
        yield "", "`for` or `until` is needed"
    if wait.for_ is not None:
        yield from _length_problems(wait.for_, "for")


def _length_problems(text: str, name: str) -> Iterator[tuple[str, str]]:
    found: Problems = []
    length = check_duration(text, name, found)
    yield from found
    if length is not None and length > parse_duration(STEP_WAIT_MAX):
        yield name, f"longer than {STEP_WAIT_MAX}"


def _waiting_problems(wait_for: WaitFor) -> Iterator[tuple[str, str]]:
    found: Problems = []
    check_events(wait_for.events, "events", found)
    check_key(wait_for.key, "key", found)
    yield from found
    yield from _length_problems(wait_for.within, "within")


def _branch_problems(branch: Branch) -> Iterator[tuple[str, str]]:
    if not branch.then and not branch.else_:
        yield "", "without effect: no step on either way"


def _split_problems(split: Split) -> Iterator[tuple[str, str]]:
    if not any(arm.steps for arm in split.arms):
        yield "arms", "without effect: no step on any way"
    labels = Counter(arm.label for arm in split.arms if arm.label is not None)
    for number, arm in enumerate(split.arms):
        if arm.label is not None and labels[arm.label] > 1:
            yield f"arms[{number}].label", "two ways have this label"


def _tag_problems(tag: SetTag) -> Iterator[tuple[str, str]]:
    if (tag.set is None) == (tag.remove is None):
        found = "none" if tag.set is None else "both"
        yield "", f"exactly one of set, remove is needed, found {found}"
        return
    name, trait = ("set", tag.set) if tag.set is not None else ("remove", tag.remove)
    if trait == "consent":
        yield name, "consent is the person's to give, and not a trigger's"
    if trait is not None and len(trait) > TRAIT_NAME_CHARS_MAX:
        yield name, f"longer than {TRAIT_NAME_CHARS_MAX} characters"
    if tag.remove is not None and tag.value is not True:
        yield "value", "remove takes none"
    reason = None if tag.set is None else _value_problem(tag.value)
    if reason is not None:
        yield "value", reason


def _value_problem(value: Scalar) -> str | None:
    if value is None:
        return "null is no value: take it away with `remove`"
    if isinstance(value, float) and not isfinite(value):
        return "not a finite number"
    if isinstance(value, str) and len(value.encode()) + _TAG_BYTES_SPARE > TRAIT_BYTES_MAX:
        return f"longer than {TRAIT_BYTES_MAX - _TAG_BYTES_SPARE} bytes"
    return None


def _wait_for_problems(trigger: Trigger, wait_for: WaitFor) -> Iterator[tuple[str, str]]:
    """What is wrong with it beside this entry and this exit."""
    kind = next((name for name in WITHOUT_EVENT if getattr(trigger.entry, name) is not None), None)
    if wait_for.key and kind is not None:
        yield "key", f"nothing would bear it: no event stands for an entry by {kind}"
    if trigger.exit is not None and _always_exits(trigger.exit, wait_for):
        for number, name in enumerate(wait_for.events):
            if name in trigger.exit.events:
                yield f"events[{number}]", f"each such {name!r} is an exit, and ends the run first"


def _always_exits(way_out: Exit, wait_for: WaitFor) -> bool:
    """Whether what matches here is an exit too, if it is one by its name."""
    if not set(way_out.key) <= set(wait_for.key):
        return False
    if way_out.where is None:
        return True
    if wait_for.where is None:
        return False
    return NOTHING_STANDS.knowing(wait_for.where, holds=True).of(way_out.where) is True


def _at_entry(trigger: Trigger) -> Standing:
    """What is known of everybody who comes in."""
    known = NOTHING_STANDS
    for condition in (trigger.entry.where, trigger.audience):
        if condition is not None:
            known = known.knowing(condition, holds=True)
    return known


class _Walk:
    """Follows the ways through the steps, with what is known of the person there."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def follow(self, steps: Sequence[Step], place: str, known: Standing) -> Standing | None:
        """What is known after these steps, None where every way ends the run."""
        for number, step in enumerate(steps):
            after = self._step(step, f"{place}[{number}]", known)
            if after is None:
                if number + 1 < len(steps):
                    reason = "never reached: every way before it ends the run"
                    self._problems.append((f"{place}[{number + 1}]", reason))
                return None
            known = after
        return known

    def _step(self, step: Step, place: str, known: Standing) -> Standing | None:
        if step.end is not None:
            return None
        if step.branch is not None:
            return self._branch(step.branch, f"{place}.branch", known)
        if step.send is not None or step.wait is not None or step.tag is not None:
            # A send may be put off: it takes time, too.
            return known.later()
        if step.wait_for is not None:
            known = known.later()
        ways = [self.follow(inner, f"{place}.{name}", known) for name, inner in inner_lists(step)]
        return _joined(ways) if ways else known

    def _branch(self, branch: Branch, place: str, known: Standing) -> Standing | None:
        answer = known.of(branch.if_)
        if answer is not None:
            way, sure = ("else", "always") if answer else ("then", "never")
            reason = f"{sure} holds here, by what was asked before: nobody goes by `{way}`"
            self._problems.append((f"{place}.if", reason))
        ways = [
            self.follow(
                inner,
                f"{place}.{name}",
                known if answer is not None else known.knowing(branch.if_, holds=holds),
            )
            for name, inner, holds in (
                ("then", branch.then, True),
                ("else", branch.else_, False),
            )
        ]
        return _joined(ways)


def _joined(ways: Sequence[Standing | None]) -> Standing | None:
    going_on = [one for one in ways if one is not None]
    if not going_on:
        return None
    known, *others = going_on
    for other in others:
        known = known.common(other)
    return known
