"""What definitions are made of: names, durations, and conditions on events and people."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from services.contracts.time import DURATION_PATTERN

ID_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"

Identifier = Annotated[str, Meta(pattern=ID_PATTERN, description="lower case, digits, _")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, description="90s, 15m, 24h, 30d, 4w")]
EventNames = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=50)]

Key = Annotated[tuple[Name, ...], Meta(max_length=5, description="dotted property paths")]
ClockTime = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="08:30")]

Op = Literal[
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "contains", "starts_with",
    "exists", "not_exists",
]  # fmt: skip
Scalar = str | int | float | bool | None

CONDITION_DEPTH_MAX: Final = 8
CONDITION_CLAUSES_MAX: Final = 50


class Condition(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"all_": "all", "any_": "any", "not_": "not"},
):
    """A group (`all`, `any` or `not`) or one clause: a subject, `op` and `value`.

    Exactly one of all, any, not, property, tag, trait, segment is given. `property` and
    `trait` are dotted paths into the event's properties and the person's traits, `tag` is a
    tag's id. `segment` is a segment's: it stands alone and holds for its members.
    A clause over a missing value (absent or null) is false, except `not_exists`, `ne` and
    `not_in`. A text, a number and a bool are never equal, and to ask which of them is greater
    is false. No clause raises.
    """

    all_: tuple["Condition", ...] | None = None
    any_: tuple["Condition", ...] | None = None
    not_: "Condition | None" = None
    property: Name | None = None
    tag: Identifier | None = None
    trait: Name | None = None
    segment: Identifier | None = None
    op: Op | None = None
    value: Scalar | tuple[Scalar, ...] = None
