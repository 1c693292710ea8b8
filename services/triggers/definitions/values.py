"""What is kept of a definition, and the ways in which a change of it can be refused."""

from collections.abc import Sequence
from typing import Final, Literal, cast

import msgspec

from services.contracts.definitions import (
    KINDS,
    AnyDefinition,
    Bundle,
    Kind,
    Policy,
    Tag,
    Trigger,
    Workspace,
)
from services.contracts.errors import CuestreamError
from services.contracts.groups import Lifecycle, Segment
from services.contracts.templates import Template
from services.contracts.time import Micros

Definition = AnyDefinition
Status = Literal["draft", "in_review", "live", "paused", "archived"]

PLURALS: Final[dict[str, str]] = {
    "trigger": "triggers",
    "tag": "tags",
    "policy": "policies",
    "segment": "segments",
    "lifecycle": "lifecycles",
    "template": "templates",
    "workspace": "workspace",
}
"""Where a kind stands in a bundle, in the API's addresses and in the places of problems."""

DEFINITIONS_MAX: Final = 5000
"""Definitions in force at most: what a worker compiles and the topic repeats at a start."""


UNNAMED: Final = "unnamed"
"""The name of what was given none."""

AUTHORS_MAX: Final = 1000
"""People who may have written parts of one draft: none may be forgotten, so more are refused."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody (`by`: an actor's id) asks to have the draft put in force."""

    by: str
    at: Micros
    note: str = ""


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewer said no to the draft, and why; it stands until the draft is submitted again."""

    by: str
    at: Micros
    reason: str


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """How far a draft is: `authors` are ids of all who wrote of it since it was last in force."""

    authors: tuple[str, ...] = ()
    submitted: Submission | None = None
    rejected: Rejection | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One definition as it stands: what is published, and what is written but not yet so.

    `status` is `draft` or `in_review` until the first publication. `version` counts
    publications of this definition, `revision` names the last one's. `edit` grows with every
    change and is the ETag. `published` is kept after archiving; it is in force only while
    `in_force`. A draft trigger whose own status is `draft` keeps, once published, the status
    it had.
    """

    kind: Kind
    id: str
    status: Status
    version: int = 0
    revision: int = 0
    edit: int = 0
    draft: Definition | None = None
    published: Definition | None = None
    review: Review = Review()
    created_at: Micros
    updated_at: Micros

    @property
    def in_force(self) -> bool:
        """Whether workers decide under it (a paused trigger is in force, as paused)."""
        return self.status in ("live", "paused")


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One publication, which never changes; `definition` is None where it was an archiving.

    `by` is the id of who put it in force, None where that is from before the audit log.
    """

    version: int
    revision: int
    published_at: Micros
    by: str | None = None
    definition: Definition | None


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision (0 before the first) and how many have not reached Kafka yet."""

    revision: int = 0
    published_at: Micros | None = None
    pending: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What applying one definition does: from `before` (None: not in force) to `after`."""

    kind: Kind
    id: str
    action: Literal["create", "change", "archive", "none"]
    version: int
    before: Definition | None = None
    after: Definition | None = None


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """`revision` is None where nothing changed or it was only tried."""

    revision: int | None
    changes: tuple[Change, ...]


class NotFound(CuestreamError):
    """There is no such definition."""


class Conflict(CuestreamError):
    """The definition is not in a state that allows this."""


class Taken(Conflict):
    """Another definition has the name already; `problems` are the places that ask for it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {reason}" for place, reason in problems))
        self.problems = list(problems)


class Stale(CuestreamError):
    """Somebody else changed it since the caller read it."""


_KIND_OF: Final[dict[type[Definition], Kind]] = {
    type_: cast("Kind", kind) for kind, type_ in KINDS.items()
}


def kind_of(definition: Definition) -> Kind:
    """The kind that a definition's type stands for."""
    return _KIND_OF[type(definition)]


def place_of(kind: str, id_: str) -> str:
    """How problems name a definition, e.g. `triggers.cart_left`."""
    return "workspace" if kind == "workspace" else f"{PLURALS[kind]}.{id_}"


def make_bundle(revision: int, definitions: "list[Definition]") -> Bundle:
    """The bundle of these definitions, in order of id, one workspace at most among them."""
    ordered = sorted(definitions, key=lambda definition: definition.id)
    workspaces = [one for one in ordered if isinstance(one, Workspace)]
    return Bundle(
        revision=revision,
        workspace=workspaces[0] if workspaces else Workspace(),
        triggers=tuple(one for one in ordered if isinstance(one, Trigger)),
        tags=tuple(one for one in ordered if isinstance(one, Tag)),
        policies=tuple(one for one in ordered if isinstance(one, Policy)),
        segments=tuple(one for one in ordered if isinstance(one, Segment)),
        lifecycles=tuple(one for one in ordered if isinstance(one, Lifecycle)),
        templates=tuple(one for one in ordered if isinstance(one, Template)),
    )
