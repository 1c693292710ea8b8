"""The rules of editing and publishing definitions. Knows no HTTP, no SQL and no Kafka."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, cast

import msgspec

from services.contracts.definitions import DEFAULT_POLICY, Kind, Trigger, Workspace
from services.contracts.errors import DefinitionError
from services.contracts.time import Micros
from services.triggers.definitions.checking import Checker, refuse_wrong, refuse_wrong_draft
from services.triggers.definitions.store import Reader, Store, Writer
from services.triggers.definitions.values import (
    Applied,
    Change,
    Conflict,
    Definition,
    NotFound,
    Revision,
    Stale,
    Status,
    Stored,
    kind_of,
    place_of,
)

ANY_EDIT: Final = -1
"""In place of the expected `edit`: whatever stands there (`If-Match: *`)."""


class Definitions:
    """Everything the API does, each method in one transaction.

    `now` gives the time of changes in microseconds. `expected` is the `edit` the caller has
    seen; None or `ANY_EDIT` overwrites whatever stands there.

    Raises (all methods):
        NotFound, Conflict, Stale: see `values`.
        DefinitionError: the definitions in force would no longer be right together.
        Transient: the database cannot be reached for now.
    """

    def __init__(
        self, store: Store, check: Checker, *, workspace: str, now: Callable[[], Micros]
    ) -> None:
        self._store = store
        self._check = check
        self._workspace = workspace
        self._now = now

    async def bootstrap(self) -> bool:
        """Publish revision 1, the default workspace and cap, unless there is a revision."""
        async with self._store.writing() as writer:
            if (await writer.revision()).revision:
                return False
            now = self._now()
            await self._publish(
                writer,
                [
                    self._published(None, definition, now)
                    for definition in (Workspace(id=self._workspace), DEFAULT_POLICY)
                ],
            )
            return True

    async def get(self, kind: Kind, id_: str) -> Stored:
        """One definition."""
        async with self._store.reading() as reader:
            return await _require(reader, kind, id_)

    async def page(
        self, kind: Kind, *, status: Status | None, after: str, limit: int
    ) -> list[Stored]:
        """Definitions of a kind in order of id, from after `after`."""
        async with self._store.reading() as reader:
            return await reader.page(kind, status=status, after=after, limit=limit)

    async def revision(self) -> Revision:
        """The newest revision and whether the relay has carried it."""
        async with self._store.reading() as reader:
            return await reader.revision()

    async def create(self, definition: Definition, *, publish: bool) -> Stored:
        """Keep a new definition as a draft, or publish it at once."""
        kind = kind_of(definition)
        async with self._store.writing() as writer:
            standing = await writer.get(kind, definition.id)
            if standing is not None:
                raise Conflict(f"{kind} {definition.id} exists already ({standing.status})")
            return await self._write(writer, None, definition, publish=publish)

    async def change(
        self,
        kind: Kind,
        id_: str,
        edit: Callable[[Stored], Definition],
        *,
        expected: int | None,
        publish: bool,
    ) -> Stored:
        """Replace the draft by what `edit` makes of the definition, or publish that at once."""
        async with self._store.writing() as writer:
            standing = await _require(writer, kind, id_, expected)
            return await self._write(writer, standing, edit(standing), publish=publish)

    async def publish(self, kind: Kind, id_: str, *, expected: int | None) -> Stored:
        """Put the draft in force; without a draft nothing happens."""
        async with self._store.writing() as writer:
            standing = await _require(writer, kind, id_, expected)
            if standing.draft is None:
                if standing.in_force:
                    return standing
                raise Conflict(f"{kind} {id_} is {standing.status} and has no draft to publish")
            return await self._write(writer, standing, standing.draft, publish=True)

    async def set_status(
        self, id_: str, status: Literal["live", "paused"], *, expected: int | None
    ) -> Stored:
        """Pause or resume a trigger at once, as a new version of what is published.

        A draft stays a draft, but no longer says a status of its own: this is the later word.
        """
        async with self._store.writing() as writer:
            standing = await _require(writer, "trigger", id_, expected)
            if not standing.in_force:
                raise Conflict(f"trigger {id_} is {standing.status}: only published ones can be")
            if standing.status == status:
                return standing
            published = cast("Trigger", standing.published)
            changed = self._published(
                standing, msgspec.structs.replace(published, status=status), self._now()
            )
            draft = cast("Trigger | None", standing.draft)
            if draft is not None:
                draft = msgspec.structs.replace(draft, status="draft")
            changed = msgspec.structs.replace(changed, draft=draft)
            return (await self._publish(writer, [changed]))[0]

    async def archive(self, kind: Kind, id_: str, *, expected: int | None) -> Stored:
        """Take a definition out of force for good, or out of the list if it never was."""
        async with self._store.writing() as writer:
            standing = await _require(writer, kind, id_, expected)
            if standing.in_force:
                return (await self._publish(writer, [_archived(standing, self._now())]))[0]
            if standing.status == "archived" and standing.draft is None:
                return standing
            return await writer.save(
                msgspec.structs.replace(
                    standing, status="archived", draft=None, updated_at=self._now()
                )
            )

    async def apply(self, definitions: Sequence[Definition], *, dry_run: bool) -> Applied:
        """Put all of these in force in one revision; what stands so already is left alone.

        A trigger that says `archived` is archived.

        Raises:
            DefinitionError: also when one is given twice.
        """
        _refuse_doubles(definitions)
        for definition in definitions:
            self._refuse_foreign(definition)
        async with self._store.writing() as writer:
            changed: list[Stored] = []
            changes: list[Change] = []
            for definition in definitions:
                standing = await writer.get(kind_of(definition), definition.id)
                stored, change = self._applied(standing, definition)
                changes.append(change)
                if stored is not None:
                    changed.append(stored)
            if not changed:
                return Applied(revision=None, changes=tuple(changes))
            if dry_run:
                await refuse_wrong(writer, self._check, changed)
                return Applied(revision=None, changes=tuple(changes))
            published = await self._publish(writer, changed)
            return Applied(revision=published[0].revision, changes=tuple(changes))

    def _applied(
        self, standing: Stored | None, definition: Definition
    ) -> tuple[Stored | None, Change]:
        before = standing.published if standing is not None and standing.in_force else None
        kind, now = kind_of(definition), self._now()
        stored: Stored | None
        action: Literal["create", "change", "archive", "none"]
        if isinstance(definition, Trigger) and definition.status == "archived":
            stored = _archived(standing, now) if standing is not None and before else None
            action, after = ("archive" if stored is not None else "none"), None
        else:
            stored = self._published(standing, definition, now)
            after = stored.published
            if standing is not None:
                # A draft is somebody's unfinished work: a file does not throw it away.
                stored = msgspec.structs.replace(stored, draft=standing.draft)
            action = "create" if before is None else "change"
            if standing is not None and before is not None and _same(before, after):
                stored, action = None, "none"
        version = stored.version if stored is not None else standing.version if standing else 0
        return stored, Change(
            kind=kind, id=definition.id, action=action, version=version, before=before, after=after
        )

    async def _write(
        self, writer: Writer, standing: Stored | None, definition: Definition, *, publish: bool
    ) -> Stored:
        self._refuse_foreign(definition)
        now = self._now()
        if not publish:
            if standing is None:
                stored = Stored(
                    kind=kind_of(definition), id=definition.id, status="draft",
                    created_at=now, updated_at=now, draft=definition,
                )  # fmt: skip
            else:
                stored = msgspec.structs.replace(standing, draft=definition, updated_at=now)
                if stored.status == "archived" and not stored.version:
                    stored = msgspec.structs.replace(stored, status="draft")
            await refuse_wrong_draft(writer, self._check, stored)
            return await writer.save(stored)
        stored = self._published(standing, definition, now)
        if (
            standing is not None
            and standing.in_force
            and standing.published is not None
            and _same(standing.published, stored.published)
        ):
            if standing.draft is None:
                return standing
            return await writer.save(msgspec.structs.replace(standing, draft=None, updated_at=now))
        return (await self._publish(writer, [stored]))[0]

    def _published(self, standing: Stored | None, definition: Definition, now: Micros) -> Stored:
        version = 1 if standing is None else standing.version + 1
        status: Status = "live"
        if isinstance(definition, Trigger):
            if definition.status == "draft":
                kept = standing is not None and standing.status == "paused"
                definition = msgspec.structs.replace(
                    definition, status="paused" if kept else "live"
                )
            status = definition.status
        definition = msgspec.structs.replace(definition, version=version)
        return Stored(
            kind=kind_of(definition),
            id=definition.id,
            status=status,
            version=version,
            revision=0 if standing is None else standing.revision,
            edit=0 if standing is None else standing.edit,
            published=definition,
            created_at=now if standing is None else standing.created_at,
            updated_at=now,
        )

    def _refuse_foreign(self, definition: Definition) -> None:
        if isinstance(definition, Workspace) and definition.id != self._workspace:
            raise DefinitionError([("workspace.id", f"this is workspace {self._workspace}")])

    async def _publish(self, writer: Writer, changed: list[Stored]) -> list[Stored]:
        await refuse_wrong(writer, self._check, changed)
        return await writer.publish(changed, self._now())


def _archived(standing: Stored, now: Micros) -> Stored:
    return msgspec.structs.replace(
        standing, status="archived", version=standing.version + 1, draft=None, updated_at=now
    )


def _same(one: Definition, other: Definition | None) -> bool:
    if other is None:
        return False
    return bool(
        msgspec.structs.replace(one, version=0) == msgspec.structs.replace(other, version=0)
    )


def _refuse_doubles(definitions: Sequence[Definition]) -> None:
    seen: set[tuple[str, str]] = set()
    for definition in definitions:
        key = (kind_of(definition), definition.id)
        if key in seen:
            raise DefinitionError([(place_of(*key), "given twice")])
        seen.add(key)


async def _require(reader: Reader, kind: Kind, id_: str, expected: int | None = None) -> Stored:
    standing = await reader.get(kind, id_)
    if standing is None:
        raise NotFound(f"there is no {kind} {id_}")
    if expected is not None and expected not in (ANY_EDIT, standing.edit):
        raise Stale(f"{kind} {id_} was changed meanwhile: read it again")
    return standing
