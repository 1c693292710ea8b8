"""The rules of editing and publishing definitions. Knows no HTTP, no SQL and no Kafka."""

from collections.abc import Callable, Sequence
from typing import Literal, cast

import msgspec

from services.contracts.definitions import DEFAULT_POLICY, Kind, Trigger, Workspace
from services.triggers.definitions.actors import SYSTEM, Origin
from services.triggers.definitions.applying import applied, proposed, refuse_doubles
from services.triggers.definitions.auditing import Action
from services.triggers.definitions.checking import (
    refuse_wrong_draft,
)
from services.triggers.definitions.reading import ANY_EDIT, require, require_version
from services.triggers.definitions.store import Writer
from services.triggers.definitions.transitions import (
    archived,
    beside_draft,
    discarded,
    drafted,
    published,
    returned,
    same,
    stands_so,
    submitted,
)
from services.triggers.definitions.values import (
    Applied,
    Change,
    Conflict,
    Definition,
    Rejection,
    Stored,
    kind_of,
)
from services.triggers.definitions.writing import Pair, Writing

__all__ = ["ANY_EDIT", "Definitions"]


class Definitions(Writing):
    """Everything the API does, each method in one transaction that also writes the audit log.

    `now` gives the time of changes in microseconds. `expected` is the `edit` the caller has
    seen; None or `ANY_EDIT` overwrites whatever stands there. `by` is who asks.

    Raises (all methods):
        Forbidden: the role or the review rule does not allow it.
        NotFound, Conflict, Stale: see `values`.
        DefinitionError: the definitions in force would no longer be right together.
        Transient: the database cannot be reached for now.
    """

    async def bootstrap(self) -> bool:
        """Publish revision 1, the default workspace and cap, unless there is a revision."""
        async with self._store.writing() as writer:
            if (await writer.revision()).revision:
                return False
            now = self._now()
            first: tuple[Definition, ...] = (Workspace(id=self._workspace), DEFAULT_POLICY)
            pairs: list[Pair] = [(None, published(None, one, now)) for one in first]
            await self._publish(writer, SYSTEM, "bootstrapped", pairs, now)
            return True

    async def create(self, definition: Definition, *, by: Origin, publish: bool) -> Stored:
        """Keep a new definition as a draft, or publish it at once."""
        kind = kind_of(definition)
        self.rights.edit(by.actor, kind)
        async with self._store.writing() as writer:
            standing = await writer.get(kind, definition.id)
            if standing is not None:
                raise Conflict(f"{kind} {definition.id} exists already ({standing.status})")
            return await self._write(writer, None, definition, by=by, publish=publish)

    async def change(
        self,
        kind: Kind,
        id_: str,
        edit: Callable[[Stored], Definition],
        *,
        by: Origin,
        expected: int | None,
        publish: bool,
    ) -> Stored:
        """Replace the draft by what `edit` makes of the definition, or publish that at once."""
        self.rights.edit(by.actor, kind)
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            return await self._write(writer, standing, edit(standing), by=by, publish=publish)

    async def discard(self, kind: Kind, id_: str, *, by: Origin, expected: int | None) -> Stored:
        """Throw the draft away; what is in force stays."""
        self.rights.edit(by.actor, kind)
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            if standing.draft is None:
                return standing
            after = discarded(standing, self._now())
            return await self._save(writer, by, "discarded", standing, after)

    async def submit(
        self, kind: Kind, id_: str, *, by: Origin, expected: int | None, note: str = ""
    ) -> Stored:
        """Ask for the draft to be put in force."""
        self.rights.edit(by.actor, kind)
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            if standing.draft is None:
                raise Conflict(f"{kind} {id_} has no draft to submit")
            if standing.review.submitted is not None:
                raise Conflict(f"{kind} {id_} is in review already")
            after = submitted(standing, by.actor.id, note, self._now())
            await refuse_wrong_draft(writer, self._check, after)
            return await self._save(writer, by, "submitted", standing, after, note)

    async def withdraw(self, kind: Kind, id_: str, *, by: Origin, expected: int | None) -> Stored:
        """Take a draft back from review."""
        self.rights.edit(by.actor, kind)
        async with self._store.writing() as writer:
            standing = await _require_submitted(writer, kind, id_, expected)
            after = returned(standing, None, self._now())
            return await self._save(writer, by, "withdrawn", standing, after)

    async def reject(
        self, kind: Kind, id_: str, *, by: Origin, expected: int | None, reason: str
    ) -> Stored:
        """Send a draft in review back with a reason."""
        async with self._store.writing() as writer:
            standing = await _require_submitted(writer, kind, id_, expected)
            self.rights.reject(by.actor, kind)
            now = self._now()
            said = Rejection(by=by.actor.id, at=now, reason=reason)
            after = returned(standing, said, now)
            return await self._save(writer, by, "rejected", standing, after, reason)

    async def approve(
        self, kind: Kind, id_: str, *, by: Origin, expected: int | None, note: str = ""
    ) -> Stored:
        """Put a draft in review in force; not one the caller wrote any part of."""
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            self.rights.approve(by.actor, standing)
            return await self._publish_draft(writer, standing, by, "approved", note)

    async def publish(self, kind: Kind, id_: str, *, by: Origin, expected: int | None) -> Stored:
        """Put the draft in force; without a draft nothing happens."""
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            if standing.draft is None:
                if standing.in_force:
                    return standing
                raise Conflict(f"{kind} {id_} is {standing.status} and has no draft to publish")
            self.rights.publish_draft(by.actor, standing)
            return await self._publish_draft(writer, standing, by, "published", "")

    async def roll_back(
        self, kind: Kind, id_: str, version: int, *, by: Origin, expected: int | None
    ) -> Stored:
        """Put an older version's content in force as a new version; whoever is under review
        submits it instead.

        A trigger that is paused stays so.
        """
        self.rights.edit(by.actor, kind)
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            content = (await require_version(writer, kind, id_, version)).definition
            if content is None:
                raise Conflict(f"version {version} of {kind} {id_} is its archiving")
            if isinstance(content, Trigger):
                content = msgspec.structs.replace(content, status="draft")
            now, note = self._now(), f"version {version}"
            if self.rights.reviewed(by.actor):
                if standing.draft is not None:
                    raise Conflict(f"{kind} {id_} has a draft: publish or discard it first")
                content = msgspec.structs.replace(content, version=0)
                draft = drafted(standing, content, by.actor.id, now)
                after = submitted(draft, by.actor.id, f"roll back to {note}", now)
                await refuse_wrong_draft(writer, self._check, after)
                return await self._save(writer, by, "submitted", standing, after, note)
            self.rights.publish_at_once(by.actor, kind)
            after = beside_draft(standing, published(standing, content, now))
            if stands_so(standing, after):
                return standing
            return (await self._publish(writer, by, "rolled_back", [(standing, after)], now, note))[
                0
            ]

    async def set_status(
        self, id_: str, status: Literal["live", "paused"], *, by: Origin, expected: int | None
    ) -> Stored:
        """Pause or resume a trigger at once, as a new version of what is published.

        A draft stays a draft, but no longer says a status of its own: this is the later word.
        """

        def edit(standing: Definition) -> Definition:
            return msgspec.structs.replace(cast("Trigger", standing), status=status)

        action: Action = "paused" if status == "paused" else "resumed"
        return await self.amend("trigger", id_, edit, by=by, action=action, expected=expected)

    async def amend(
        self,
        kind: Kind,
        id_: str,
        edit: Callable[[Definition], Definition],
        *,
        by: Origin,
        action: Action,
        expected: int | None = None,
        note: str = "",
    ) -> Stored:
        """Put in force at once what `edit` makes of what is in force, as one person may; a draft
        stays as it is. Where that changes nothing, nothing happens.
        """
        self.rights.pause(by.actor)
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            if not standing.in_force or standing.published is None:
                raise Conflict(f"{kind} {id_} is {standing.status}: only what is in force can be")
            edited = edit(standing.published)
            if same(edited, standing.published):
                return standing
            now = self._now()
            after = beside_draft(standing, published(standing, edited, now))
            # As edited, the stops of a workspace too, which no other way may change.
            edited = msgspec.structs.replace(edited, version=after.version)
            after = msgspec.structs.replace(after, published=edited)
            if isinstance(after.draft, Trigger) and after.status != standing.status:
                draft = msgspec.structs.replace(after.draft, status="draft")
                after = msgspec.structs.replace(after, draft=draft)
            return (await self._publish(writer, by, action, [(standing, after)], now, note))[0]

    async def archive(self, kind: Kind, id_: str, *, by: Origin, expected: int | None) -> Stored:
        """Take a definition out of force for good, or out of the list if it never was."""
        async with self._store.writing() as writer:
            standing = await require(writer, kind, id_, expected)
            self.rights.archive(by.actor, standing)
            now = self._now()
            if standing.in_force:
                pair = (standing, archived(standing, now))
                return (await self._publish(writer, by, "archived", [pair], now))[0]
            if standing.status == "archived" and standing.draft is None:
                return standing
            after = msgspec.structs.replace(discarded(standing, now), status="archived")
            return await self._save(writer, by, "archived", standing, after)

    async def apply(
        self, definitions: Sequence[Definition], *, by: Origin, dry_run: bool
    ) -> Applied:
        """Put all of these in force in one revision; what stands so already is left alone.

        A trigger that says `archived` is archived.

        Raises:
            DefinitionError: also when one is given twice.
        """
        refuse_doubles(definitions)
        for definition in definitions:
            self._refuse_foreign(definition)
        async with self._store.writing() as writer:
            pairs: list[Pair] = []
            changes: list[Change] = []
            now = self._now()
            for definition in definitions:
                standing = await writer.get(kind_of(definition), definition.id)
                after, change = applied(standing, definition, now)
                changes.append(change)
                if after is not None:
                    self.rights.edit(by.actor, after.kind)
                    if not dry_run:
                        self.rights.publish_at_once(by.actor, after.kind)
                    pairs.append((standing, after))
            if not pairs:
                return Applied(revision=None, changes=tuple(changes))
            if dry_run:
                await self._refuse(writer, pairs)
                return Applied(revision=None, changes=tuple(changes))
            stored = await self._publish(writer, by, "applied", pairs, now)
            return Applied(revision=stored[0].revision, changes=tuple(changes))

    async def propose(self, definitions: Sequence[Definition], *, by: Origin) -> Applied:
        """Write all of these as drafts and submit them, those that would change something; the
        changes are those that approving them will make.

        Raises:
            Conflict: one has another draft already, or says `archived`.
        """
        refuse_doubles(definitions)
        for definition in definitions:
            self._refuse_foreign(definition)
            self.rights.edit(by.actor, kind_of(definition))
        async with self._store.writing() as writer:
            pairs: list[Pair] = []
            waiting: list[Pair] = []
            changes: list[Change] = []
            now = self._now()
            for definition in definitions:
                standing = await writer.get(kind_of(definition), definition.id)
                after, change = applied(standing, definition, now)
                changes.append(change)
                if after is not None:
                    pairs.append((standing, after))
                    asked = proposed(standing, definition, by.actor.id, now)
                    waiting += [] if asked is None else [(standing, asked)]
            await self._refuse(writer, pairs)
            for before, asked in waiting:
                await self._save(writer, by, "submitted", before, asked)
            return Applied(revision=None, changes=tuple(changes))


async def _require_submitted(writer: Writer, kind: Kind, id_: str, expected: int | None) -> Stored:
    standing = await require(writer, kind, id_, expected)
    if standing.review.submitted is None:
        raise Conflict(f"{kind} {id_} is not in review")
    return standing
