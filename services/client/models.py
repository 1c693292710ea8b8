"""What the marketers' API takes and answers.

Generated from the OpenAPI document by `make docs`; do not edit.
"""

from typing import Any, Literal

import msgspec


class Absence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`after` happened, and then `without` did not happen within `within`, for this `key`."""

    after: "EventMatch"
    without: "EventMatch"
    within: str
    key: tuple[str, ...] = ()


class AnyResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A definition of any kind and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: dict[str, Any] | None
    published: dict[str, Any] | None
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class AppliedChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became (or would become) of one definition, from `before` to `after` (null: none in
    force).
    """

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    action: Literal["archive", "change", "create", "none"]
    version: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ApplyResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`revision` is null where nothing changed or it was a dry run.

    `warnings` are of the triggers that changed: right, and yet worth another look.
    """

    revision: int | None
    changes: "tuple[AppliedChange, ...]"
    warnings: "tuple[ProblemError, ...]"


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A word for the audit log."""

    note: str = ""


class Arm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way of a split, taken by `weight` in the sum of all weights."""

    weight: int
    label: str | None = None
    steps: "tuple[Step, ...]" = ()


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who did what, when, in which request; the whole of its target before and after.

    `version` and `revision` are those that the change put in force.
    """

    number: int
    at: str
    actor_id: str
    actor_name: str
    actor_role: str
    actor_kind: str
    credential: str | None
    request_id: str
    action: Literal[
        "adopted",
        "applied",
        "approved",
        "archived",
        "bootstrapped",
        "created",
        "discarded",
        "edited",
        "paused",
        "published",
        "rejected",
        "resumed",
        "rolled_back",
        "rollout",
        "stopped",
        "submitted",
        "token_created",
        "token_revoked",
        "went_on",
        "withdrawn",
    ]
    kind: str
    id: str
    version: int | None
    revision: int | None
    note: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Entries, the newest first; `next_cursor` is null on the last page."""

    items: "tuple[AuditEntry, ...]"
    next_cursor: str | None


class BacktestPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Backtests without their reports, the newest first."""

    items: "tuple[BacktestResource, ...]"
    next_cursor: str | None


class BacktestRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}
):
    """Drafts (or what is in force where there is none) against history.

    `events` is `topic`, the stored event log, or a file's name in the folder of the settings.
    """

    triggers: tuple[str, ...]
    events: str = "topic"
    from_: str | None = None
    to: str | None = None
    samples: int = 5
    seed: int = 0
    fail_share: int = 0


class BacktestResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backtest and how far it is. `report` is there once it is `done`: docs/backtest.md."""

    id: str
    status: Literal["cancelled", "done", "failed", "queued", "running"]
    triggers: tuple[str, ...]
    events: str
    created_by: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    doing: str
    share: float | None
    error: str | None
    report: dict[str, Any] | None


class Band(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """Numbers from `from` on (inclusive) and `below` (exclusive); one side may be open."""

    label: str
    from_: float | None = None
    below: float | None = None


class Bands(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The label of the band that a number is in; null outside all of them.

    Bands ascend and do not overlap; there may be room between two.
    """

    of: str
    bands: "tuple[Band, ...]"


class Branch(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"if_": "if", "else_": "else"},
):
    """`then` where the condition holds of the person now (`property`: of the entry's event)."""

    if_: "Condition"
    then: "tuple[Step, ...]" = ()
    else_: "tuple[Step, ...]" = ()


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The label of whom a condition over tags and traits holds for."""

    label: str
    when: "Condition"


class Clause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One clause of a condition: where it stands, the value it found, whether it holds.

    `subject` is `property`, `trait`, `tag` or `segment` (then `op` is `member`), `name` which
    one. `negated`: it stands under an
    odd number of `not`, so that it has to fail.
    """

    place: str
    subject: str
    name: str
    op: str
    value: Any = None
    actual: Any
    holds: bool
    negated: bool = False


class Cleaning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule for one value: a `property` (dotted path) of `events`, or a `trait`.

    In this order: brought into its `form` (`respell` gives spellings of one's own first),
    filled in where `missing`, refused or taken out where impossible (outside `min` to `max`,
    not among `one_of`), judged an `outlier`. `region` (ISO 3166) is that of numbers without a
    country code. `impossible: refuse` makes the event a dead letter, `quarantine` only takes
    the value out. `day_first` says how 03/04/2026 is to be read; without it that is unknown.
    """

    id: str
    events: tuple[str, ...] | None = None
    property: str | None = None
    trait: str | None = None
    form: Literal["city", "date", "lower", "number", "phone", "trim", "upper"] | None = None
    region: str = "CN"
    day_first: bool | None = None
    respell: dict[str, str | int | float | bool | None] | None = None
    missing: "Missing | None" = None
    min: float | None = None
    max: float | None = None
    one_of: tuple[str | int | float | bool | None, ...] | None = None
    impossible: Literal["quarantine", "refuse"] = "quarantine"
    outlier: "Outlier | None" = None


class Condition(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"not_": "not"}
):
    """A group (`all`, `any` or `not`) or one clause: a subject, `op` and `value`.

    Exactly one of all, any, not, property, tag, trait, segment is given. `property` and
    `trait` are dotted paths into the event's properties and the person's traits, `tag` is a
    tag's id. `segment` is a segment's: it stands alone and holds for its members.
    A clause over a missing value (absent or null) is false, except `not_exists`, `ne` and
    `not_in`. A text, a number and a bool are never equal, and to ask which of them is greater
    is false. No clause raises.
    """

    all: "tuple[Condition, ...] | None" = None
    any: "tuple[Condition, ...] | None" = None
    not_: "Condition | None" = None
    property: str | None = None
    tag: str | None = None
    trait: str | None = None
    segment: str | None = None
    op: (
        Literal[
            "contains",
            "eq",
            "exists",
            "gt",
            "gte",
            "in",
            "lt",
            "lte",
            "ne",
            "not_exists",
            "not_in",
            "starts_with",
        ]
        | None
    ) = None
    value: str | int | float | bool | tuple[str | int | float | bool | None, ...] | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to say: Liquid templates rendered by the dispatcher with the command's variables.

    `html` is a mail's body once more as HTML; values put into it are escaped.
    """

    subject: str = ""
    body: str = ""
    html: str = ""


class DateOf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A day of the person's own: a trait with an ISO date, in the person's time zone.

    `offset_days` before (negative) or after it, at local time `at`; `yearly` returns with
    the anniversary, 29 February on the 28th in years without one.
    """

    trait: str
    offset_days: int = 0
    at: str = "09:00"
    yearly: bool = False


class Dedup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A second candidate with the same `key` inside `window` is refused.

    `key` lists dotted property paths (`order_id`); empty means the entry event's id.
    """

    key: tuple[str, ...] = ()
    window: str = "24h"


class Derive(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a derived tag is made of: exactly one of these.

    `trait`: the value at a dotted path of the traits. `age_of`: whole years since the ISO
    date of a trait, in the person's time zone. `cases`: the label of the first whose condition
    holds, else `otherwise`.
    """

    trait: str | None = None
    age_of: str | None = None
    ratio: "Ratio | None" = None
    total: "Total | None" = None
    bands: "Bands | None" = None
    score: "Score | None" = None
    cases: "tuple[Case, ...]" = ()
    otherwise: str | None = None
    predict: "Predict | None" = None


class DryRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be decided and sent, and why: `clauses` has the entry and the audience
    evaluated clause by clause, `explanation` the decisions in words.
    """

    trigger: str
    version: int
    person: str
    at: str
    decisions: "tuple[DryRunDecision, ...]"
    effects: "tuple[Effect, ...]"
    waiting: "tuple[DryRunWait, ...]"
    explanation: "Explanation"
    clauses: "Explanation"
    traits: dict[str, Any]
    tags: dict[str, Any]


class DryRunDecision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision that would be recorded."""

    outcome: str
    step: int
    at: str
    details: dict[str, Any]


class DryRunRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One person (by id as the workers know them, or made up) and one event.

    Without an event only time passes, to `at`. `at` is left out: the event's own time, or now.
    """

    event: dict[str, Any] | None = None
    person: str | None = None
    profile: "InlineProfile | None" = None
    at: str | None = None


class DryRunWait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the person would stand afterwards; null: until something happens."""

    step: int
    reason: str
    due_at: str | None


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that would be asked of the dispatcher, its texts filled in.

    `problem` says why a text could not be: it would fail when it is sent.
    """

    kind: str
    step: int
    channel: str
    endpoint: str | None
    to: str | None
    subject: str
    body: str
    html: str
    request: dict[str, Any]
    problem: str | None = None


class End(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The run is over, with a result such as `woken` or `not_woken`."""

    result: str = "done"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What makes a person a candidate: exactly one of these ways.

    `events` with an optional `where` is the plainest: one of them happens and it holds.
    """

    events: tuple[str, ...] = ()
    where: "Condition | None" = None
    sequence: "Sequence | None" = None
    absence: "Absence | None" = None
    inactivity: "Inactivity | None" = None
    tag_change: "TagChange | None" = None
    threshold: "Threshold | None" = None
    date: "DateOf | None" = None
    schedule: "Schedule | None" = None


class EventMatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of one of these names on which `where` holds."""

    events: tuple[str, ...]
    where: "Condition | None" = None


class Exit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that takes the person out: everything of the trigger that still waits ends.

    With `key` it ends only what entered with the same values (this order, not any).
    """

    events: tuple[str, ...]
    where: "Condition | None" = None
    key: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one person and one trigger, the profile being that of `as_of`.

    `verdict`: `put_off` or `under_way` where a run waits, else the outcome of the newest
    decision, else `waiting`, `not_reached` (of a step that was asked for),
    `entry_not_matched`, `no_event` (none given concerns the entry), `no_record` (the entry
    matches now and yet nothing was decided) or `not_decided` (the trigger is not in force).
    """

    person: str
    trigger: str
    as_of: int
    revision: int
    verdict: str
    sentence: str
    decisions: int = 0
    findings: "tuple[Finding, ...]" = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason, as a sentence and as fields.

    `kind`: `decision` (a record), `status` (the trigger is not decided), `put_off` (decided
    again at `at`), `under_way` (a journey waits, at most until `at`), `step` (not come to),
    `waiting` (the entry looks again at `at`), `entry` (evaluated on an event), `value` (what
    the entry asks of the profile), `exit`, `wait_for` (evaluated on an event) or `audience`
    (as it stands now). `place` names the part of the trigger that is spoken of, `step` the
    number of the step. `holds`: whether that part is as the trigger wants it in order to come
    in (of an absence, that `without` did not happen) or, of a step, was come to; None where
    nothing can be said.
    """

    kind: str
    sentence: str
    place: str = ""
    at: int | None = None
    event_id: str | None = None
    outcome: str | None = None
    step: int | None = None
    holds: bool | None = None
    clauses: "tuple[Clause, ...]" = ()
    details: dict[str, Any] = {}


class Handoff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Make a task for people: `content.subject` is its title, `content.body` what to know."""

    to: Literal["sales", "service"]
    endpoint: str
    content: "Content" = msgspec.field(default_factory=lambda: Content())


class HourCount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Decisions of one outcome and reason in one hour; `put_off`: each was decided again."""

    hour: str
    trigger: str
    version: int
    outcome: str
    reason: str
    put_off: bool
    decisions: int


class HourCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counts by the hour, in order. `more`: older ones did not fit in."""

    counts: "tuple[HourCount, ...]"
    more: bool


class Inactivity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """None of `events` for so long, counted from the last of them.

    Whoever never did one of them does not enter. Another one starts the time anew.
    """

    events: tuple[str, ...]
    lasts: str


class InlineProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody made up: tags are computed from the `history`, folded before the event."""

    traits: dict[str, Any] = {}
    history: tuple[dict[str, Any], ...] = ()


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The states a person passes through, and what takes them from one to the next.

    Of the transitions from the state now the first that holds is taken, then from there on,
    and no state twice at an instant. The state reads as a tag of the same id; without
    `initial` it is null until a transition holds. A change is an event, `$lifecycle_changed`,
    with the properties `lifecycle`, `from` and `to`.
    """

    id: str
    name: str = "unnamed"
    description: str = ""
    version: int = 0
    owner: str = ""
    initial: str | None = None
    states: tuple[str, ...]
    transitions: "tuple[Transition, ...]"


class LifecyclePage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Life cycles in order of id; `next_cursor` is null on the last page."""

    items: "tuple[LifecycleResource, ...]"
    next_cursor: str | None


class LifecycleResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A life cycle and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Lifecycle | None"
    published: "Lifecycle | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class Minus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Events that a count or a sum takes off again, such as refunds; `value` is the tag's own
    where none is given.
    """

    events: tuple[str, ...]
    where: "Condition | None" = None
    value: str | None = None


class Missing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in for a value that is not given: exactly one of these.

    `fill` with a fixed value; `infer` from another property (or trait, as the rule's own is)
    by `table`, `unknown` where the table does not know it; `unknown` itself.
    """

    fill: str | int | float | bool | None = None
    infer: str | None = None
    table: dict[str, str | int | float | bool | None] | None = None
    unknown: bool = False


class NewToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A new token and, this once, its secret."""

    token: "TokenResource"
    secret: str


class Offer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Grant something by an idempotent call of an endpoint: `reference` says what there."""

    kind: Literal["coupon", "gift", "points"]
    endpoint: str
    reference: str
    amount: int | None = None


class Outlier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Numbers further than `sigma` standard deviations above the mean are outliers.

    Of the `person`'s own values so far, from the `at_least`-th on; or of the population, with
    `mean` and `deviation` as they stand here (a scheduled job may keep them up to date).
    """

    sigma: float = 3.0
    of: Literal["person", "population"] = "person"
    at_least: int = 10
    mean: float | None = None
    deviation: float | None = None


class PersonDecision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision about a person."""

    person: str
    trigger: str
    trigger_version: int
    step: int
    outcome: str
    event_id: str
    at: str
    revision: int
    run_id: str | None
    send_id: str | None
    details: dict[str, Any]


class PersonDecisions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's decisions, the newest first."""

    decisions: "tuple[PersonDecision, ...]"
    next_cursor: str | None


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frequency cap: at most `limit` sends a person in `window`, in `scope`.

    `window` is rolling (`24h`, exact to the microsecond) or a calendar `day`, `week`
    (from Monday) or `month` in the person's own time zone. `transactional` sends are exempt
    and uncounted unless the scope names the category.
    """

    id: str
    name: str = "unnamed"
    description: str = ""
    version: int = 0
    limit: int
    window: str
    scope: "Scope" = msgspec.field(default_factory=lambda: Scope())


class PolicyPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Policies in order of id; `next_cursor` is null on the last page."""

    items: "tuple[PolicyResource, ...]"
    next_cursor: str | None


class PolicyResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frequency cap and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Policy | None"
    published: "Policy | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class Predict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a fitted repeat-purchase model says; null where an input is missing.

    `alive`: the probability of buying again at all; `purchases`: how many are expected within
    `horizon`; both by `bg_nbd`. `value`: the expected value of one purchase, by `gamma_gamma`.
    `frequency` is a tag of repeat purchases, `recency` and `tenure` tags of whole days since
    the last and the first one. For `gamma_gamma` `monetary` is a tag of the mean value of
    purchases, and `frequency` of how many of them there are: all, or all repeats.
    `parameters` are the model's, `fit` what the job that fitted them said of how well.
    """

    model: Literal["bg_nbd", "gamma_gamma"]
    output: Literal["alive", "purchases", "value"]
    frequency: str
    recency: str | None = None
    tenure: str | None = None
    monetary: str | None = None
    horizon: str = "30d"
    parameters: dict[str, float]
    fitted_at: str | None = None
    fit: dict[str, Any] = {}


class Preview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template as it would be sent. A part that would fail is null, and `problems` say why.

    `variables` are the values of the template's variables, `fallbacks` names those for which
    theirs stood in. `version` is that of the template shown, 0 of a draft.
    """

    version: int
    subject: str | None
    body: str | None
    html: str | None
    variables: dict[str, Any]
    fallbacks: tuple[str, ...]
    problems: "tuple[ProblemError, ...]"


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """For whom to fill a template in: a `person` whom the profile store knows, or a `profile`.

    `event` are the properties of the entry's event. The draft is shown where there is one,
    unless `published` asks for what is in force.
    """

    person: str | None = None
    profile: "ProfileGiven | None" = None
    event: dict[str, Any] = {}
    published: bool = False


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457; `code` is for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: "tuple[ProblemError, ...]" = ()


class ProblemError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, or worth another look, and where."""

    place: str
    reason: str


class ProfileGiven(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person made up for a preview."""

    traits: dict[str, Any] = {}
    tags: dict[str, Any] = {}


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Local time of the person (else the workspace's zone) in which nothing is sent.

    `start` later than `end` goes over midnight. `channels` empty means all of them.
    Transactional sends are exempt.
    """

    start: str
    end: str
    channels: tuple[Literal["inbox", "log", "mail", "push", "sms", "webhook", "wecom"], ...] = ()


class Ratio(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number divided by another; null where either is missing or the divisor is 0."""

    of: str
    to: str | float


class Reach(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many people fulfil the audience now, and how many sends a day a backtest gave.

    Without an audience everybody does. Stored profiles know no event: clauses over its
    properties are left out, and `exact` is false then. Null: there is no backtest.
    """

    people: int
    of: int
    share: float
    exact: bool
    sends_a_day: float | None
    backtest: str | None


class Reentry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the same person may enter again, measured from entry.

    `once_per_key` allows one entry for each value of the dedup key's properties.
    """

    mode: Literal["always", "cooldown", "once", "once_per_key"] = "always"
    cooldown: str | None = None


class RejectRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why not, for the authors."""

    reason: str


class RejectionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who sent the draft back, and why."""

    by: str
    at: str
    reason: str


class ReportedTag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tag. `used_by` are the places that name it; it is `unused` where there are none, or
    only tags that are unused themselves. `stale` has the reasons: `review_due`, and
    `no_change` of anybody's value for so many days.
    """

    id: str
    name: str
    layer: str | None
    owner: str
    used_by: tuple[str, ...]
    unused: bool
    stale: tuple[str, ...]
    review_by: str | None
    changed_at: str | None


class ReviewPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What waits for a reviewer, in order of kind and id; `next_cursor` is null on the last."""

    items: "tuple[AnyResource, ...]"
    next_cursor: str | None


class ReviewState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who wrote of the draft, and whether it is in review or was sent back."""

    authors: tuple[str, ...]
    submitted: "SubmissionState | None"
    rejected: "RejectionState | None"


class RevisionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest revision, and how many have not reached Kafka yet.

    `relay_problem` says why the relay of this process cannot work, null while it can.
    """

    revision: int
    published_at: str | None
    pending: int
    relay_problem: str | None


class RollbackRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The version whose content shall be in force again."""

    version: int


class RolloutRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Stages, and when to halt: sends beyond what the backtest gives for the stage, times
    `factor`, or more than `failure_share` percent of the sends read within `window` failed.

    `backtest`: left out, the newest of this trigger; without one only failures halt.
    """

    stages: "tuple[Stage, ...]" = msgspec.field(
        default_factory=lambda: (
            Stage(percent=1),
            Stage(percent=5, hold="1d"),
            Stage(percent=100),
        )
    )
    factor: float = 2.0
    failure_share: int = 10
    window: str = "15m"
    backtest: str | None = None


class RolloutResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rollout. `sends`, `finished` and `failures` are those of the present stage."""

    id: str
    trigger: str
    status: Literal["done", "ended", "halted", "running"]
    percent: int
    stage: int
    stages: "tuple[Stage, ...]"
    since: str
    version: int
    factor: float
    failure_share: int
    window: str
    expected_a_day: float | None
    backtest: str | None
    sends: int
    finished: int
    failures: int
    created_by: str
    created_at: str
    steps: "tuple[RolloutStep, ...]"


class RolloutStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was done."""

    at: str
    what: str
    percent: int
    reason: str


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At the times of a cron expression everybody whom the audience lets in.

    Five fields: minute, hour, day of month, month, day of week. `time_zone` is the
    workspace's where none is given. People are spread over `spread` by a stable hash.
    """

    cron: str
    time_zone: str | None = None
    spread: str | None = None


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a cap counts: everything (`value` left out), or one channel, category or trigger."""

    kind: Literal["all", "category", "channel", "trigger"] = "all"
    value: str | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """1 to 5 by four cuts, as quintiles give them: 1 and how many cuts a number is beyond.

    By the rule `lte` it is not beyond a cut q where `x <= q`, by `lt_next` where `x < q + 1`.
    `reverse`: small numbers are good (recency), and the score is 6 less that. Whoever has no
    value of the tag `among` has no score. `by` population: a job puts the fifths of everybody
    who has one (docs/rfm.md) in place of these `cuts`.
    """

    of: str
    among: str | None = None
    by: Literal["fixed", "population"] = "fixed"
    cuts: tuple[float, ...]
    rule: Literal["lt_next", "lte"] = "lte"
    reverse: bool = False


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named condition over tags and traits: whoever it holds for is a member.

    `core` marks the few by which the business steers. Whoever comes in or goes out has an
    event of it, `$segment_entered` or `$segment_left`, with the property `segment`.
    """

    id: str
    name: str = "unnamed"
    description: str = ""
    version: int = 0
    owner: str = ""
    core: bool = False
    when: "Condition"


class SegmentPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Segments in order of id; `next_cursor` is null on the last page."""

    items: "tuple[SegmentResource, ...]"
    next_cursor: str | None


class SegmentResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A segment and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Segment | None"
    published: "Segment | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class Send(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ask the dispatcher for one message.

    `to_trait` names the trait with the address (mail: `email`, sms: `phone`, push:
    `push_token`, wecom: `wecom_id`). `endpoint` names an endpoint of the dispatcher's settings
    (webhook, wecom): addresses and secrets never stand in definitions.
    `when_unknown`: where the provider falls silent and would not notice a repeat, better not
    at all (`at_most_once`) or better twice (`at_least_once`); left out: the dispatcher's
    setting.
    `template` names one whose content is sent; what `content` says beside it goes before.
    """

    channel: Literal["inbox", "log", "mail", "push", "sms", "webhook", "wecom"]
    to_trait: str | None = None
    endpoint: str | None = None
    template: str | None = None
    content: "Content" = msgspec.field(default_factory=lambda: Content())
    when_unknown: Literal["at_least_once", "at_most_once"] | None = None


class Sequence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """These one after the other, all within `within` of the first.

    `key` lists dotted property paths (`order_id`) on which all of them agree; an event in
    which one is missing belongs to no sequence.
    """

    parts: "tuple[EventMatch, ...]"
    within: str
    key: tuple[str, ...] = ()


class SetTag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tag the person by hand: `set` to `value`, or `remove`. It stands among the traits, and
    conditions ask for it there.
    """

    set: str | None = None
    value: str | int | float | bool | None = True
    remove: str | None = None


class Split(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """People take one of the arms, always the same one, by a hash of person and trigger."""

    arms: "tuple[Arm, ...]"


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`percent` of people take part, and for at least `hold` it stays so."""

    percent: int
    hold: str = "1h"


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a trigger: exactly one of these."""

    send: "Send | None" = None
    wait: "Wait | None" = None
    wait_for: "WaitFor | None" = None
    branch: "Branch | None" = None
    split: "Split | None" = None
    tag: "SetTag | None" = None
    offer: "Offer | None" = None
    handoff: "Handoff | None" = None
    end: "End | None" = None


class StopRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to stop, or to go on: everything, or some channels."""

    all: bool = False
    channels: tuple[Literal["inbox", "log", "mail", "push", "sms", "webhook", "wecom"], ...] = ()
    note: str = ""


class StopsResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stopped now, since which revision of the definitions."""

    all: bool
    channels: tuple[str, ...]
    version: int
    revision: int


class SubmissionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked to have the draft put in force."""

    by: str
    at: str
    note: str


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A word to the reviewer."""

    note: str = ""


class Tag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A profile tag: rolling, an aggregate over a person's events, or derived of other tags.

    A rolling one has `aggregate` and `events`, a derived one `derive` and nothing of the other.
    `value` is the dotted path of the aggregated property; `count`, `recency` and `tenure` take
    none. `moment` stands in its place: what the local clock showed at the event. Without
    `window` it covers the person's lifetime. `distinct` gives the number of different
    values, `top_k` the `k` heaviest values, weight halving every `half_life`; `recency` and
    `tenure` give the whole days (of 24 hours) since the last and since the first event.
    """

    id: str
    name: str = "unnamed"
    description: str = ""
    version: int = 0
    layer: Literal["basic", "behaviour", "predicted", "preference", "value"] | None = None
    source: str = ""
    owner: str = ""
    review_by: str | None = None
    unit: str = ""
    aggregate: (
        Literal[
            "average",
            "count",
            "distinct",
            "first",
            "last",
            "max",
            "min",
            "recency",
            "sum",
            "tenure",
            "top_k",
        ]
        | None
    ) = None
    events: tuple[str, ...] = ()
    where: "Condition | None" = None
    value: str | None = None
    moment: Literal["day", "hour", "month", "weekday"] | None = None
    minus: "Minus | None" = None
    window: str | None = None
    bucket: str | None = None
    k: int = 5
    half_life: str = "30d"
    derive: "Derive | None" = None


class TagChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tag's value came to fulfil a condition, ceased to, or became another.

    `entered` and `left` need `op` and `value`, as in a condition; `changed` takes neither.
    Time alone can change a tag too: an event leaves its window.
    """

    tag: str
    change: Literal["changed", "entered", "left"]
    op: (
        Literal[
            "contains",
            "eq",
            "exists",
            "gt",
            "gte",
            "in",
            "lt",
            "lte",
            "ne",
            "not_exists",
            "not_in",
            "starts_with",
        ]
        | None
    ) = None
    value: str | int | float | bool | tuple[str | int | float | bool | None, ...] | None = None


class TagPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tags in order of id; `next_cursor` is null on the last page."""

    items: "tuple[TagResource, ...]"
    next_cursor: str | None


class TagReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tags with something to say of them, in order of id; `tags_in_force` counts all.

    `watched_since` is null where nothing is known of changes: then no tag is called unchanged.
    """

    tags_in_force: int
    stale_after_days: int
    watched_since: str | None
    tags: "tuple[ReportedTag, ...]"


class TagResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tag and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Tag | None"
    published: "Tag | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class Template(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to say, written once for many sends: Liquid over `variables`, `tags` and nothing
    else.

    Sends name it by `template`. What is sent is the version in force at the decision, also for
    people who were under way before it was published. With `channels` it serves those alone.
    """

    id: str
    name: str = "unnamed"
    description: str = ""
    version: int = 0
    channels: tuple[Literal["inbox", "log", "mail", "push", "sms", "webhook", "wecom"], ...] = ()
    content: "Content"
    variables: "dict[str, Variable]" = {}


class TemplatePage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Templates in order of id; `next_cursor` is null on the last page."""

    items: "tuple[TemplateResource, ...]"
    next_cursor: str | None


class TemplateResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Template | None"
    published: "Template | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class Term(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number tag, `times` as much."""

    of: str
    times: float = 1.0


class TestSend(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message that was asked for."""

    send_id: str
    person: str
    step: int
    channel: str
    to: str | None


class TestSendRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To whom (test people of the workspace), as if `event` had brought them in."""

    people: tuple[str, ...]
    event: dict[str, Any] = {}


class TestSends(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Messages on their way; the dispatcher tells what became of each by its id."""

    sends: "tuple[TestSend, ...]"


class Threshold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number tag crosses `bound`: `up` reaches or passes it, `down` falls below it.

    With `share_of` the bound is that share (`bound` 0.5: half) of another number tag.
    """

    tag: str
    direction: Literal["down", "up"]
    bound: float
    share_of: str | None = None


class TokenPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens in order of id; `next_cursor` is null on the last page."""

    items: "tuple[TokenResource, ...]"
    next_cursor: str | None


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token for a person, or with `person` false for a program.

    `owner` is who they are: tokens of the same owner are the same person to the two-person
    rule. For people who also come by OIDC it is the id that their issuer gives.
    """

    name: str
    owner: str
    role: Literal["administrator", "analyst", "operator", "reviewer"]
    person: bool = True
    expires_in_days: int = 90


class TokenResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token as it can be shown: its `prefix` is to recognise it by."""

    id: str
    name: str
    owner: str
    person: bool
    role: Literal["administrator", "analyst", "operator", "reviewer"]
    prefix: str
    created_by: str
    created_at: str
    expires_at: str
    revoked_at: str | None
    last_used_at: str | None


class Total(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The terms added up, and `plus`; null where one of them is missing."""

    terms: "tuple[Term, ...]"
    plus: float = 0.0


class Transition(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}
):
    """A way from one of the states `from` (`any`: from all others) to another, when it holds."""

    from_: tuple[str, ...] | Literal["any"] = "any"
    to: str
    when: "Condition"


class Trigger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A marketer's rule: when a person enters, who may, and what is sent.

    `rollout` percent of people take part, `holdout` percent of those are decided but never
    sent to; both are stable by a hash of person and trigger. Of one `group` at most one
    trigger waits in a person at a time. `arbitration_window` holds a candidate that long for
    one of higher priority to come.
    """

    id: str
    name: str = "unnamed"
    description: str = ""
    version: int = 0
    status: Literal["archived", "draft", "live", "paused"] = "live"
    category: Literal["marketing", "transactional"] = "marketing"
    priority: int = 50
    entry: "Entry"
    exit: "Exit | None" = None
    audience: "Condition | None" = None
    rollout: int = 100
    holdout: int = 0
    group: str | None = None
    arbitration_window: str | None = None
    in_quiet_hours: Literal["defer", "drop"] = "defer"
    dedup: "Dedup" = msgspec.field(default_factory=lambda: Dedup())
    reentry: "Reentry" = msgspec.field(default_factory=lambda: Reentry())
    when_capped: "WhenCapped" = msgspec.field(default_factory=lambda: WhenCapped())
    send_within: str = "24h"
    steps: "tuple[Step, ...]"


class TriggerPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Triggers in order of id; `next_cursor` is null on the last page."""

    items: "tuple[TriggerResource, ...]"
    next_cursor: str | None


class TriggerResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trigger and where it stands."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Trigger | None"
    published: "Trigger | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"


class ValidateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Definitions as for `POST /v1/apply`."""

    definitions: tuple[dict[str, Any], ...]


class Validation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`problems` keep them from being put in force, `warnings` do not."""

    valid: bool
    problems: "tuple[ProblemError, ...]"
    warnings: "tuple[ProblemError, ...]"


class ValueTiers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Priority that a person's worth adds: by the text of a trait."""

    trait: str
    bonuses: dict[str, int]


class Variable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name that a template may use, and where its value comes from at the decision.

    Exactly one of `tag` (an id), `trait` and `property` (dotted paths; of the entry's event)
    is given. Where the value is missing (absent or null), `fallback` stands in. Without one
    nothing does: a `required` variable then fails the send, any other prints as nothing.
    """

    tag: str | None = None
    trait: str | None = None
    property: str | None = None
    fallback: str | int | float | bool | None = None
    required: bool = True


class VersionPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Versions, the newest first; `next_cursor` is null on the last page."""

    items: "tuple[VersionResource, ...]"
    next_cursor: str | None


class VersionResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One publication; `definition` is null where it was an archiving, `by` says who."""

    version: int
    revision: int
    published_at: str
    by: str | None
    definition: dict[str, Any] | None


class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"for_": "for"}):
    """Wait `for` a time, `until` the person's clock shows one, or first the one, then the
    other.

    A clock time that it is just now ends the wait at once.
    """

    for_: str | None = None
    until: str | None = None


class WaitFor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Wait for one of `events` on which `where` holds, at most `within`.

    With `key` (dotted property paths) its values have to be those of the entry's event. What
    happened before the wait began, or comes late, does not count. `then` follows when it
    came, `on_timeout` when it did not.
    """

    events: tuple[str, ...]
    where: "Condition | None" = None
    key: tuple[str, ...] = ()
    within: str
    then: "tuple[Step, ...]" = ()
    on_timeout: "tuple[Step, ...]" = ()


class WhenCapped(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`drop`, or `defer` to the first instant the cap allows, at most `expires_after` away."""

    action: Literal["defer", "drop"] = "drop"
    expires_after: str = "24h"


class Workspace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings that hold for every person.

    Consent is the trait `consent`, an object: false under a category or a channel refuses
    it; where nothing stands, `opt_in` refuses marketing and `opt_out` lets it pass. For
    `test_people` (ids) neither rollout nor holdout applies. `stopped` is the kill switch:
    nothing is decided to be sent, what is under way stays where it is, and what was asked
    for already waits in the dispatcher; `stopped_channels` does the same to some channels.
    """

    id: str = "default"
    name: str = "unnamed"
    version: int = 0
    time_zone: str = "UTC"
    late_after: str = "24h"
    message_id_window: str = "24h"
    message_ids_max: int = 64
    consent: Literal["opt_in", "opt_out"] = "opt_out"
    quiet_hours: "tuple[QuietHours, ...]" = ()
    value_tiers: "ValueTiers | None" = None
    test_people: tuple[str, ...] = ()
    cleaning: "tuple[Cleaning, ...]" = ()
    stopped: bool = False
    stopped_channels: tuple[
        Literal["inbox", "log", "mail", "push", "sms", "webhook", "wecom"], ...
    ] = ()


class WorkspaceResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The workspace's settings and where they stand."""

    kind: Literal["lifecycle", "policy", "segment", "tag", "template", "trigger", "workspace"]
    id: str
    status: Literal["archived", "draft", "in_review", "live", "paused"]
    version: int
    revision: int | None
    created_at: str
    updated_at: str
    draft: "Workspace | None"
    published: "Workspace | None"
    review: "ReviewState | None"
    warnings: "tuple[ProblemError, ...]"
