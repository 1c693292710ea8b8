"""The steps of a trigger: what happens to a person from the entry to the end of the run.

Steps stand in lists. After a step the next of its list follows, after the last of an inner
list the one that follows the step around it; past the end of the outermost the run ends.
"""

from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from services.contracts.command import Content, WhenUnknown
from services.contracts.conditions import (
    ClockTime,
    Condition,
    Duration,
    EventNames,
    Identifier,
    Key,
    Name,
    Scalar,
)

STEPS_MAX: Final = 20
"""Steps of a trigger, those of inner lists included."""
STEPS_EASY: Final = 5
"""With more than these a journey is hard to follow: a lint says so."""
STEPS_DEPTH_MAX: Final = 5

Channel = Literal["log", "mail", "webhook", "sms", "push", "wecom", "inbox"]
CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)

Inner = Annotated[tuple["Step", ...], Meta(max_length=STEPS_MAX)]


class Send(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Ask the dispatcher for one message.

    `to_trait` names the trait with the address (mail: `email`, sms: `phone`, push:
    `push_token`, wecom: `wecom_id`). `endpoint` names an endpoint of the dispatcher's settings
    (webhook, wecom): addresses and secrets never stand in definitions.
    `when_unknown`: where the provider falls silent and would not notice a repeat, better not
    at all (`at_most_once`) or better twice (`at_least_once`); left out: the dispatcher's setting.
    `template` names one whose content is sent; what `content` says beside it goes before.
    """

    channel: Channel
    to_trait: Name | None = None
    endpoint: Identifier | None = None
    template: Identifier | None = None
    content: Content = Content()
    when_unknown: WhenUnknown | None = None


class Wait(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"for_": "for"},
):
    """Wait `for` a time, `until` the person's clock shows one, or first the one, then the other.

    A clock time that it is just now ends the wait at once.
    """

    for_: Duration | None = None
    until: ClockTime | None = None


class WaitFor(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Wait for one of `events` on which `where` holds, at most `within`.

    With `key` (dotted property paths) its values have to be those of the entry's event. What
    happened before the wait began, or comes late, does not count. `then` follows when it
    came, `on_timeout` when it did not.
    """

    events: EventNames
    where: Condition | None = None
    key: Key = ()
    within: Duration
    then: Inner = ()
    on_timeout: Inner = ()


class Branch(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"if_": "if", "else_": "else"},
):
    """`then` where the condition holds of the person now (`property`: of the entry's event)."""

    if_: Condition
    then: Inner = ()
    else_: Inner = ()


class Arm(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One way of a split, taken by `weight` in the sum of all weights."""

    weight: Annotated[int, Meta(ge=1, le=1000)]
    label: Name | None = None
    steps: Inner = ()


class Split(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """People take one of the arms, always the same one, by a hash of person and trigger."""

    arms: Annotated[tuple[Arm, ...], Meta(min_length=2, max_length=5)]


class SetTag(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Tag the person by hand: `set` to `value`, or `remove`. It stands among the traits, and
    conditions ask for it there."""

    set: Name | None = None
    value: Scalar = True
    remove: Name | None = None


class Offer(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Grant something by an idempotent call of an endpoint: `reference` says what there."""

    kind: Literal["coupon", "points", "gift"]
    endpoint: Identifier
    reference: Name
    amount: Annotated[int, Meta(ge=1)] | None = None


class Handoff(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Make a task for people: `content.subject` is its title, `content.body` what to know."""

    to: Literal["sales", "service"]
    endpoint: Identifier
    content: Content = Content()


class End(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The run is over, with a result such as `woken` or `not_woken`."""

    result: Name = "done"


class Step(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One step of a trigger: exactly one of these."""

    send: Send | None = None
    wait: Wait | None = None
    wait_for: WaitFor | None = None
    branch: Branch | None = None
    split: Split | None = None
    tag: SetTag | None = None
    offer: Offer | None = None
    handoff: Handoff | None = None
    end: End | None = None
