"""Marketers' definitions as data: triggers, tags, groups, policies and the workspace.

These structs are the one schema: the API, the files in git, PostgreSQL, the topic and the
engine all read them, and docs/definitions.schema.json is generated from them. What a schema
cannot say (an unknown tag, a condition of the wrong type) is checked by
`services.triggers.engine.check`.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from services.contracts.cleaning import CLEANING_RULES_MAX, Cleaning
from services.contracts.conditions import (
    ClockTime,
    Condition,
    Duration,
    EventNames,
    Identifier,
    Name,
)
from services.contracts.derived import Derive
from services.contracts.entries import Entry, Exit
from services.contracts.groups import Lifecycle, Segment
from services.contracts.steps import STEPS_MAX, Channel, Step
from services.contracts.templates import Template
from services.contracts.time import DURATION_PATTERN

Layer = Literal["basic", "behaviour", "preference", "value", "predicted"]
Aggregate = Literal[
    "count", "sum", "min", "max", "last", "first", "distinct", "average", "top_k",
    "recency", "tenure",
]  # fmt: skip
CivilDate = Annotated[
    str,
    Meta(pattern="^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$", description="2026-01-31"),
]

Priority = Annotated[int, Meta(ge=0, le=100)]
Percent = Annotated[int, Meta(ge=0, le=100)]

CAP_LIMIT_MAX: Final = 200
"""A person's state keeps each counted send of the longest window: the bound of that list."""
CAP_WINDOW_MAX: Final = "366d"


class Minus(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Events that a count or a sum takes off again, such as refunds; `value` is the tag's own
    where none is given."""

    events: EventNames
    where: Condition | None = None
    value: Name | None = None


class Tag(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A profile tag: rolling, an aggregate over a person's events, or derived of other tags.

    A rolling one has `aggregate` and `events`, a derived one `derive` and nothing of the other.
    `value` is the dotted path of the aggregated property; `count`, `recency` and `tenure` take
    none. `moment` stands in its place: what the local clock showed at the event. Without
    `window` it covers the person's lifetime. `distinct` gives the number of different
    values, `top_k` the `k` heaviest values, weight halving every `half_life`; `recency` and
    `tenure` give the whole days (of 24 hours) since the last and since the first event.
    """

    id: Identifier
    name: Name = "unnamed"
    description: str = ""
    version: int = 0
    layer: Layer | None = None
    source: Annotated[str, Meta(max_length=200, description="which data it comes from")] = ""
    owner: Annotated[str, Meta(max_length=200)] = ""
    review_by: CivilDate | None = None
    unit: Annotated[str, Meta(max_length=50)] = ""
    aggregate: Aggregate | None = None
    events: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    where: Condition | None = None
    value: Name | None = None
    moment: Literal["hour", "weekday", "day", "month"] | None = None
    minus: Minus | None = None
    window: Duration | None = None
    bucket: Duration | None = None
    k: Annotated[int, Meta(ge=1, le=20)] = 5
    half_life: Duration = "30d"
    derive: Derive | None = None


class Dedup(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A second candidate with the same `key` inside `window` is refused.

    `key` lists dotted property paths (`order_id`); empty means the entry event's id.
    """

    key: tuple[Name, ...] = ()
    window: Duration = "24h"


class Reentry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Whether the same person may enter again, measured from entry.

    `once_per_key` allows one entry for each value of the dedup key's properties.
    """

    mode: Literal["once", "always", "cooldown", "once_per_key"] = "always"
    cooldown: Duration | None = None


class WhenCapped(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """`drop`, or `defer` to the first instant the cap allows, at most `expires_after` away."""

    action: Literal["drop", "defer"] = "drop"
    expires_after: Duration = "24h"


class Trigger(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A marketer's rule: when a person enters, who may, and what is sent.

    `rollout` percent of people take part, `holdout` percent of those are decided but never
    sent to; both are stable by a hash of person and trigger. Of one `group` at most one
    trigger waits in a person at a time. `arbitration_window` holds a candidate that long for
    one of higher priority to come.
    """

    id: Identifier
    name: Name = "unnamed"
    description: str = ""
    version: int = 0
    status: Literal["draft", "live", "paused", "archived"] = "live"
    category: Literal["marketing", "transactional"] = "marketing"
    priority: Priority = 50
    entry: Entry
    exit: Exit | None = None
    audience: Condition | None = None
    rollout: Percent = 100
    holdout: Percent = 0
    group: Identifier | None = None
    arbitration_window: Duration | None = None
    in_quiet_hours: Literal["defer", "drop"] = "defer"
    dedup: Dedup = Dedup()
    reentry: Reentry = Reentry()
    when_capped: WhenCapped = WhenCapped()
    send_within: Duration = "24h"
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=STEPS_MAX)]


class Scope(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a cap counts: everything (`value` left out), or one channel, category or trigger."""

    kind: Literal["all", "channel", "category", "trigger"] = "all"
    value: Name | None = None


class Policy(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A frequency cap: at most `limit` sends a person in `window`, in `scope`.

    `window` is rolling (`24h`, exact to the microsecond) or a calendar `day`, `week`
    (from Monday) or `month` in the person's own time zone. `transactional` sends are exempt
    and uncounted unless the scope names the category.
    """

    id: Identifier
    name: Name = "unnamed"
    description: str = ""
    version: int = 0
    limit: Annotated[int, Meta(ge=1, le=CAP_LIMIT_MAX)]
    window: Annotated[str, Meta(pattern=f"{DURATION_PATTERN[:-1]}$|^(day|week|month)$")]
    scope: Scope = Scope()


class QuietHours(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Local time of the person (else the workspace's zone) in which nothing is sent.

    `start` later than `end` goes over midnight. `channels` empty means all of them.
    Transactional sends are exempt.
    """

    start: ClockTime
    end: ClockTime
    channels: tuple[Channel, ...] = ()


class ValueTiers(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Priority that a person's worth adds: by the text of a trait."""

    trait: Name
    bonuses: Annotated[dict[str, Annotated[int, Meta(ge=0, le=100)]], Meta(max_length=20)]


class Workspace(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Settings that hold for every person.

    Consent is the trait `consent`, an object: false under a category or a channel refuses
    it; where nothing stands, `opt_in` refuses marketing and `opt_out` lets it pass. For
    `test_people` (ids) neither rollout nor holdout applies. `stopped` is the kill switch:
    nothing is decided to be sent, what is under way stays where it is, and what was asked
    for already waits in the dispatcher; `stopped_channels` does the same to some channels.
    """

    id: Identifier = "default"
    name: Name = "unnamed"
    version: int = 0
    time_zone: Name = "UTC"
    late_after: Duration = "24h"
    message_id_window: Duration = "24h"
    message_ids_max: Annotated[int, Meta(ge=1, le=4096)] = 64
    consent: Literal["opt_in", "opt_out"] = "opt_out"
    quiet_hours: Annotated[tuple[QuietHours, ...], Meta(max_length=10)] = ()
    value_tiers: ValueTiers | None = None
    test_people: Annotated[tuple[Name, ...], Meta(max_length=200)] = ()
    cleaning: Annotated[tuple[Cleaning, ...], Meta(max_length=CLEANING_RULES_MAX)] = ()
    stopped: bool = False
    stopped_channels: Annotated[tuple[Channel, ...], Meta(max_length=10)] = ()


AnyDefinition = Trigger | Tag | Policy | Segment | Lifecycle | Template | Workspace
Kind = Literal["trigger", "tag", "policy", "segment", "lifecycle", "template", "workspace"]
KINDS: Final[dict[str, type[AnyDefinition]]] = {
    "trigger": Trigger,
    "tag": Tag,
    "policy": Policy,
    "segment": Segment,
    "lifecycle": Lifecycle,
    "template": Template,
    "workspace": Workspace,
}

DEFAULT_POLICY: Final = Policy(
    id="marketing_daily",
    name="At most 3 marketing messages in any 24 hours",
    limit=3,
    window="24h",
    scope=Scope(kind="category", value="marketing"),
)


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """All definitions in force at one revision: what the engine compiles.

    `pinned` are earlier versions of its triggers: whoever entered under one stays with it.
    """

    revision: int
    workspace: Workspace = Workspace()
    triggers: tuple[Trigger, ...] = ()
    tags: tuple[Tag, ...] = ()
    policies: tuple[Policy, ...] = (DEFAULT_POLICY,)
    segments: tuple[Segment, ...] = ()
    lifecycles: tuple[Lifecycle, ...] = ()
    templates: tuple[Template, ...] = ()
    pinned: tuple[Trigger, ...] = ()


VERSIONS_KEPT_MAX: Final = 50
"""Versions of a trigger that people may still be under way in, the one in force among them."""


class DefinitionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the `definitions` topic, keyed `kind/id`.

    `definition` is the definition as JSON values, None once it is removed. The last record
    of each revision has kind `revision` and id `head`: all before it belongs to revisions up
    to it. A trigger stands there twice: as kind `trigger`, where the next version replaces
    it, and as kind `version` with the id `<id>@<version>`, where it stays as long as anybody
    may be under way in it. A `version` without definition has no value on the topic.
    """

    v: int = 1
    kind: Literal[
        "trigger",
        "tag",
        "policy",
        "segment",
        "lifecycle",
        "template",
        "workspace",
        "version",
        "revision",
    ]
    id: str
    version: int
    revision: int
    definition: dict[str, Any] | None = None


def definition_key(kind: str, id_: str) -> bytes:
    """Key of a definition on its topic."""
    return f"{kind}/{id_}".encode()


HEAD_KEY: Final = definition_key("revision", "head")
