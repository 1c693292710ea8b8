"""Rules of cleaning: how values are brought into one form, and what is done about wrong ones.

They stand in the workspace, and hold for what the engine folds from their revision on.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from services.contracts.conditions import EventNames, Identifier, Name, Scalar
from services.contracts.time import Micros

CLEANING_RULES_MAX: Final = 50
TABLE_MAX: Final = 500
"""Entries of a table by which a value is inferred or respelled."""

UNKNOWN: Final = "unknown"
"""Stands where a value is missing or cannot be brought into its form: never a guess."""
OUTLIERS: Final = "$outliers"
"""The property that lists the dotted paths of an event's values which are outliers."""
CONFIRM_EVENT: Final = "Outlier Confirmed"
"""With the property `message_id`: that event's outliers are right, and count from now on."""

Form = Literal["trim", "lower", "upper", "number", "date", "phone", "city"]
Table = Annotated[dict[str, Scalar], Meta(min_length=1, max_length=TABLE_MAX)]


class Missing(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What stands in for a value that is not given: exactly one of these.

    `fill` with a fixed value; `infer` from another property (or trait, as the rule's own is)
    by `table`, `unknown` where the table does not know it; `unknown` itself.
    """

    fill: Scalar = None
    infer: Name | None = None
    table: Table | None = None
    unknown: bool = False


class Outlier(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Numbers further than `sigma` standard deviations above the mean are outliers.

    Of the `person`'s own values so far, from the `at_least`-th on; or of the population, with
    `mean` and `deviation` as they stand here (a scheduled job may keep them up to date).
    """

    sigma: Annotated[float, Meta(gt=0, le=20)] = 3.0
    of: Literal["person", "population"] = "person"
    at_least: Annotated[int, Meta(ge=2, le=1000)] = 10
    mean: float | None = None
    deviation: Annotated[float, Meta(gt=0)] | None = None


class Cleaning(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One rule for one value: a `property` (dotted path) of `events`, or a `trait`.

    In this order: brought into its `form` (`respell` gives spellings of one's own first),
    filled in where `missing`, refused or taken out where impossible (outside `min` to `max`,
    not among `one_of`), judged an `outlier`. `region` (ISO 3166) is that of numbers without a
    country code. `impossible: refuse` makes the event a dead letter, `quarantine` only takes
    the value out. `day_first` says how 03/04/2026 is to be read; without it that is unknown.
    """

    id: Identifier
    events: Annotated[EventNames | None, Meta(description="of a property's events")] = None
    property: Name | None = None
    trait: Name | None = None
    form: Form | None = None
    region: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "CN"
    day_first: bool | None = None
    respell: Table | None = None
    missing: Missing | None = None
    min: float | None = None
    max: float | None = None
    one_of: Annotated[tuple[Scalar, ...], Meta(max_length=TABLE_MAX)] | None = None
    impossible: Literal["refuse", "quarantine"] = "quarantine"
    outlier: Outlier | None = None


Fault = Literal[
    "duplicate", "respelled", "unknown", "filled", "inferred", "quarantined", "outlier",
    "confirmed", "refused",
]  # fmt: skip
"""What a rule found. `respelled` counts values that were brought into their form; `refused`
is counted where dead letters are."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that cleaning found, at `position` of the log of its partition.

    `source` says where the event came from, `rule` is the rule's id (empty: of a duplicate).
    `sample` is the value as it came, shortened, digits and letters of personal data hidden.
    """

    person: str
    position: int
    at: Micros
    source: str
    rule: str
    fault: Fault
    message_id: str
    sample: str | None = None


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the `quality` topic: what was found in a stretch of one partition, in the
    order of the log. Repeats after a crash are told by `position`: a reader that has counted
    up to one skips what is not beyond it. Not `complete`: more may follow of places before these,
    and the reader's place stays where it was."""

    v: int = 1
    partition: int
    findings: tuple[Finding, ...]
    complete: bool = True


def source_of(context: dict[str, Any]) -> str:
    """Where an event came from: `context.source`, else the library that sent it."""
    source = context.get("source")
    if isinstance(source, str) and source:
        return source[:SOURCE_CHARS_MAX]
    library = context.get("library")
    name = library.get("name") if isinstance(library, dict) else None
    return name[:SOURCE_CHARS_MAX] if isinstance(name, str) and name else UNKNOWN


SOURCE_CHARS_MAX: Final = 100
