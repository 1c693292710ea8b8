"""Groups of people by what is known of them: segments, and the stages of a life cycle."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from services.contracts.conditions import Condition, Identifier, Name

LIFECYCLE_STATES_MAX: Final = 20
TRANSITIONS_MAX: Final = 50


class Segment(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A named condition over tags and traits: whoever it holds for is a member.

    `core` marks the few by which the business steers. Whoever comes in or goes out has an
    event of it, `$segment_entered` or `$segment_left`, with the property `segment`.
    """

    id: Identifier
    name: Name = "unnamed"
    description: str = ""
    version: int = 0
    owner: str = ""
    core: bool = False
    when: Condition


class Transition(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"from_": "from"},
):
    """A way from one of the states `from` (`any`: from all others) to another, when it holds."""

    from_: Annotated[tuple[Name, ...], Meta(min_length=1)] | Literal["any"] = "any"
    to: Name
    when: Condition


class Lifecycle(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The states a person passes through, and what takes them from one to the next.

    Of the transitions from the state now the first that holds is taken, then from there on,
    and no state twice at an instant. The state reads as a tag of the same id; without
    `initial` it is null until a transition holds. A change is an event, `$lifecycle_changed`,
    with the properties `lifecycle`, `from` and `to`.
    """

    id: Identifier
    name: Name = "unnamed"
    description: str = ""
    version: int = 0
    owner: str = ""
    initial: Name | None = None
    states: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=LIFECYCLE_STATES_MAX)]
    transitions: Annotated[tuple[Transition, ...], Meta(min_length=1, max_length=TRANSITIONS_MAX)]
