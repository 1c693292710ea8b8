"""The steps of a trigger compiled: one flat tuple in preorder, each knowing what follows it.

A step's number is its place there, and so is `step` in send ids, decisions and runs. What
follows the last one is `Program.end`, one past the last number.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.command import Content
from services.contracts.conditions import Condition
from services.contracts.definitions import QuietHours, Trigger
from services.contracts.steps import Handoff, Offer, Send, SetTag, Step
from services.contracts.templates import Template
from services.contracts.time import parse_duration
from services.triggers.engine.caps import Cap
from services.triggers.engine.conditions import ReadTag, Test, compile_test
from services.triggers.engine.contents import Gap, content_of, gaps_of
from services.triggers.engine.local import minute_of_day
from services.triggers.engine.quiet import QuietTable, hours_of, quiet_table
from services.triggers.engine.waits import Match, compile_match

DEFAULT_ADDRESS_TRAITS: Final = {
    "mail": "email",
    "sms": "phone",
    "push": "push_token",
    "wecom": "wecom_id",
}

WAIT: Final = "wait"
WAIT_FOR: Final = "wait_for"
MATCHED: Final = "matched"
"""What a run waits for, in its `reason`, where no check put it off."""
AT_SEND: Final = ""
"""It waits for nothing: its send is decided in this moment."""


class _Compiled(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    number: int
    following: int


class SendStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """A send, with the quiet hours and caps of its channel; `quiet` is the table of those.

    `content` is what it says, `gaps` the variables of the template that it is taken from.
    """

    send: Send
    content: Content
    template: Template | None
    gaps: tuple[Gap, ...]
    address_trait: str | None
    quiet_hours: tuple[QuietHours, ...]
    quiet: QuietTable | None
    caps: tuple[Cap, ...]


class WaitStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """A wait `lasts` long (microseconds), then until a minute of the local day."""

    lasts: int
    until: int | None


class WaitForStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """A wait for an event, `within` microseconds; `then` and `on_timeout` are step numbers."""

    match: Match
    key: tuple[str, ...]
    within: int
    then: int
    on_timeout: int


class BranchStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """A condition and the two steps it leads to."""

    condition: Condition
    holds: Test
    then: int
    otherwise: int


class SplitStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """Arms as (weights up to and with it, label, step it leads to)."""

    arms: tuple[tuple[int, str | None, int], ...]


class TagStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """A trait to set or to remove."""

    tag: SetTag


class OfferStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """Something to grant."""

    offer: Offer


class HandoffStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """A task for people."""

    handoff: Handoff


class EndStep(_Compiled, frozen=True, kw_only=True, eq=False):
    """The end, with its result."""

    result: str


CompiledStep = (
    SendStep
    | WaitStep
    | WaitForStep
    | BranchStep
    | SplitStep
    | TagStep
    | OfferStep
    | HandoffStep
    | EndStep
)


class Program(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All steps of one version of a trigger. `channels` are those of its sends."""

    steps: tuple[CompiledStep, ...]
    channels: tuple[str, ...]

    @property
    def end(self) -> int:
        """The number of what follows the last step."""
        return len(self.steps)

    @property
    def is_journey(self) -> bool:
        """Whether there is more to it than one send: then who enters has a run to its end."""
        return len(self.steps) > 1 or not isinstance(self.steps[0], SendStep)

    def send_at(self, number: int) -> SendStep | None:
        """The step of this number, if it is a send."""
        step = self.steps[number]
        return step if isinstance(step, SendStep) else None

    def knows(self, number: int, reason: str) -> bool:
        """Whether a run can wait at this step for this reason: else another program made it."""
        if number >= len(self.steps):
            return False
        step = self.steps[number]
        if reason == WAIT:
            return isinstance(step, WaitStep)
        if reason in (WAIT_FOR, MATCHED):
            return isinstance(step, WaitForStep)
        return number == 0 or isinstance(step, SendStep)


def inner_lists(step: Step) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """The lists of steps inside one, with their places in it."""
    if step.wait_for is not None:
        yield "wait_for.then", step.wait_for.then
        yield "wait_for.on_timeout", step.wait_for.on_timeout
    if step.branch is not None:
        yield "branch.then", step.branch.then
        yield "branch.else", step.branch.else_
    if step.split is not None:
        for number, arm in enumerate(step.split.arms):
            yield f"split.arms[{number}].steps", arm.steps


def each_step(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps, those of inner lists included, in the order of their numbers."""
    for step in steps:
        yield step
        for _, inner in inner_lists(step):
            yield from each_step(inner)


def awaited_events(trigger: Trigger) -> Iterator[str]:
    """The events that concern a run of the trigger: those of its exit and of its waits."""
    if trigger.exit is not None:
        yield from trigger.exit.events
    for step in each_step(trigger.steps):
        if step.wait_for is not None:
            yield from step.wait_for.events


class _Compiler:
    def __init__(
        self,
        trigger: Trigger,
        caps: Sequence[Cap],
        quiet_hours: tuple[QuietHours, ...],
        readers: Mapping[str, ReadTag],
        templates: Mapping[str, Template],
    ) -> None:
        self._trigger = trigger
        self._caps = caps
        self._quiet_hours = () if trigger.category == "transactional" else quiet_hours
        self._readers = readers
        self._templates = templates

    def lay(self, steps: Sequence[Step], number: int, end: int) -> list[CompiledStep]:
        """A list from this number on; `end` follows its last step."""
        laid: list[CompiledStep] = []
        for place, step in enumerate(steps, start=1):
            after = number + sum(1 for _ in each_step((step,)))
            laid += self._step(step, number, end if place == len(steps) else after)
            number = after
        return laid

    def _step(self, step: Step, number: int, following: int) -> list[CompiledStep]:
        starts: list[int] = []
        laid: list[CompiledStep] = []
        for _, inner in inner_lists(step):
            start = number + 1 + len(laid)
            starts.append(start if inner else following)
            laid += self.lay(inner, start, following)
        place = {"number": number, "following": following}
        first = self._branching(step, place, starts) or self._plain(step, place)
        return [first, *laid]

    def _branching(
        self, step: Step, place: Mapping[str, int], starts: Sequence[int]
    ) -> CompiledStep | None:
        if step.wait_for is not None:
            return WaitForStep(
                **place,
                match=compile_match(step.wait_for, self._readers),
                key=step.wait_for.key,
                within=parse_duration(step.wait_for.within),
                then=starts[0],
                on_timeout=starts[1],
            )
        if step.branch is not None:
            condition = step.branch.if_
            return BranchStep(
                **place,
                condition=condition,
                holds=compile_test(condition, self._readers),
                then=starts[0],
                otherwise=starts[1],
            )
        if step.split is not None:
            arms, weight = [], 0
            for arm, start in zip(step.split.arms, starts, strict=True):
                weight += arm.weight
                arms.append((weight, arm.label, start))
            return SplitStep(**place, arms=tuple(arms))
        return None

    def _plain(self, step: Step, place: Mapping[str, int]) -> CompiledStep:
        if step.send is not None:
            return self._send(step.send, place)
        if step.wait is not None:
            lasts, until = step.wait.for_, step.wait.until
            return WaitStep(
                **place,
                lasts=0 if lasts is None else parse_duration(lasts),
                until=None if until is None else minute_of_day(until),
            )
        if step.tag is not None:
            return TagStep(**place, tag=step.tag)
        if step.offer is not None:
            return OfferStep(**place, offer=step.offer)
        if step.handoff is not None:
            return HandoffStep(**place, handoff=step.handoff)
        assert step.end is not None
        return EndStep(**place, result=step.end.result)

    def _send(self, send: Send, place: Mapping[str, Any]) -> SendStep:
        trigger = self._trigger
        template = None if send.template is None else self._templates[send.template]
        return SendStep(
            **place,
            send=send,
            content=content_of(send, template),
            template=template,
            gaps=() if template is None else gaps_of(template),
            address_trait=send.to_trait or DEFAULT_ADDRESS_TRAITS.get(send.channel),
            quiet_hours=hours_of(self._quiet_hours, send.channel),
            quiet=quiet_table(self._quiet_hours, send.channel),
            caps=tuple(
                cap for cap in self._caps if cap.counts(trigger.id, send.channel, trigger.category)
            ),
        )


def compile_program(
    trigger: Trigger,
    caps: Sequence[Cap],
    quiet_hours: tuple[QuietHours, ...],
    readers: Mapping[str, ReadTag],
    templates: Mapping[str, Template],
) -> Program:
    """The program of a checked trigger, under these caps, quiet hours and templates."""
    count = sum(1 for _ in each_step(trigger.steps))
    steps = _Compiler(trigger, caps, quiet_hours, readers, templates).lay(trigger.steps, 0, count)
    channels = dict.fromkeys(one.send.channel for one in steps if isinstance(one, SendStep))
    return Program(steps=tuple(steps), channels=tuple(channels))
