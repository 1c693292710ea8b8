"""Who may put what in force: roles, and the rule of two people."""

from typing import Literal

from services.contracts.definitions import Kind
from services.triggers.definitions.actors import (
    Actor,
    Forbidden,
    editing_role,
    publishing_role,
    refuse_role,
)
from services.triggers.definitions.values import Conflict, Stored

ReviewMode = Literal["people", "all", "off"]
"""Whose changes another person has to approve: those of people, of programs too, or nobody's."""


class Rights:
    """The rules of one workspace.

    Under review are people, administrators too; `all` adds programs and the tokens of the
    settings. What is under review comes into force by `approve` alone, and not by one who
    wrote any part of it.

    Raises (all methods):
        Forbidden: the caller may not.
    """

    def __init__(self, mode: ReviewMode) -> None:
        self._mode = mode

    def reviewed(self, actor: Actor) -> bool:
        """Whether another person has to approve what this one puts in force."""
        if actor.kind == "system" or self._mode == "off":
            return False
        return actor.person or self._mode == "all"

    def edit(self, actor: Actor, kind: Kind) -> None:
        """Write drafts."""
        refuse_role(actor, editing_role(kind), f"writing a {kind}")

    def publish_at_once(self, actor: Actor, kind: Kind) -> None:
        """Put in force what nobody else has seen."""
        refuse_role(actor, publishing_role(kind), f"publishing a {kind}")
        if self.reviewed(actor):
            raise Forbidden(
                "another person has to approve this: write a draft and submit it",
                code="review_required",
            )

    def approve(self, actor: Actor, standing: Stored) -> None:
        """Put a submitted draft in force."""
        refuse_role(actor, publishing_role(standing.kind), f"approving a {standing.kind}")
        if standing.review.submitted is None:
            raise Conflict(f"{standing.kind} {standing.id} is not in review: submit it first")
        if self.reviewed(actor) and actor.id in standing.review.authors:
            raise Forbidden("you wrote part of this: another person has to", code="own_change")

    def reject(self, actor: Actor, kind: Kind) -> None:
        """Say no to a submitted draft; an author may, to their own."""
        refuse_role(actor, publishing_role(kind), f"rejecting a {kind}")

    def publish_draft(self, actor: Actor, standing: Stored) -> None:
        """Put a draft in force: who is under review, only as `approve` allows."""
        if self.reviewed(actor) and standing.review.submitted is not None:
            self.approve(actor, standing)
        else:
            self.publish_at_once(actor, standing.kind)

    def archive(self, actor: Actor, standing: Stored) -> None:
        """Take out of force. A cap binds others, so that two people take it away: whoever is
        under review raises its limit in a draft instead.
        """
        if not standing.in_force:
            self.edit(actor, standing.kind)
            return
        if standing.kind == "policy":
            self.publish_at_once(actor, standing.kind)
        refuse_role(actor, publishing_role(standing.kind), f"archiving a {standing.kind}")

    def pause(self, actor: Actor) -> None:
        """Pause and resume: at once, by one person."""
        refuse_role(actor, "reviewer", "pausing and resuming")
