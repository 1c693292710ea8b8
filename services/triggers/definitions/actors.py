"""Who asks for a change, and what each role may do."""

from typing import Final, Literal

import msgspec

from services.contracts.definitions import Kind
from services.contracts.errors import CuestreamError

Role = Literal["analyst", "operator", "reviewer", "administrator"]
ROLES: Final[tuple[Role, ...]] = ("analyst", "operator", "reviewer", "administrator")
"""Each may do all that those before it may: read; edit; put in force, pause, approve; keys, roles,
caps and the workspace."""

ADMINISTERED: Final[frozenset[Kind]] = frozenset({"policy", "workspace"})
"""Kinds that bind everybody's messages, so that only administrators change them."""


class Forbidden(CuestreamError):
    """The caller's role, or the review rule, does not allow this; `code` is for programs."""

    def __init__(self, message: str, *, code: str = "forbidden") -> None:
        super().__init__(message)
        self.code = code


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever a request's credential stands for.

    `id` is the same for one person whatever the credential: the two-person rule compares it.
    `person` is false for programs. `credential` names the token, never its secret.
    """

    id: str
    name: str
    role: Role
    kind: Literal["static", "token", "oidc", "system"]
    person: bool = False
    credential: str | None = None

    def may(self, role: Role) -> bool:
        """Whether the actor's role includes that one."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a change comes from, for the audit log."""

    actor: Actor
    request_id: str


STATIC: Final = Actor(
    id="settings", name="token of the settings", role="administrator", kind="static"
)
SYSTEM: Final = Origin(
    actor=Actor(id="system", name="cuestream", role="administrator", kind="system"),
    request_id="start",
)


def refuse_role(actor: Actor, role: Role, what: str) -> None:
    """Say no to whoever may not.

    Raises:
        Forbidden: the actor's role is below `role`.
    """
    if not actor.may(role):
        raise Forbidden(f"{what} needs the role {role}, yours is {actor.role}")


def editing_role(kind: Kind) -> Role:
    """Who may write drafts of this kind."""
    return "administrator" if kind in ADMINISTERED else "operator"


def publishing_role(kind: Kind) -> Role:
    """Who may put definitions of this kind in force, or take them out of it."""
    return "administrator" if kind in ADMINISTERED else "reviewer"
