"""How every change is written: checked, kept, and said in the audit log, in one transaction."""

from collections.abc import Callable, Sequence

from services.contracts.definitions import Workspace
from services.contracts.errors import DefinitionError
from services.contracts.time import Micros
from services.triggers.definitions.actors import Origin
from services.triggers.definitions.auditing import Action, entry_of
from services.triggers.definitions.checking import (
    Checker,
    refuse_taken,
    refuse_wrong,
    refuse_wrong_draft,
)
from services.triggers.definitions.reading import Reading
from services.triggers.definitions.rights import ReviewMode, Rights
from services.triggers.definitions.store import Store, Writer
from services.triggers.definitions.transitions import discarded, drafted, published, stands_so
from services.triggers.definitions.values import Definition, Stored, kind_of

Pair = tuple[Stored | None, Stored]
"""A definition before and after a change."""


class Writing(Reading):
    """What all changes share. The methods here run inside the caller's transaction."""

    def __init__(
        self,
        store: Store,
        check: Checker,
        *,
        workspace: str,
        now: Callable[[], Micros],
        review: ReviewMode = "people",
    ) -> None:
        super().__init__(store)
        self._check = check
        self._workspace = workspace
        self._now = now
        self.rights = Rights(review)

    async def _write(
        self,
        writer: Writer,
        standing: Stored | None,
        definition: Definition,
        *,
        by: Origin,
        publish: bool,
    ) -> Stored:
        self._refuse_foreign(definition)
        now = self._now()
        action: Action = "created" if standing is None else "edited"
        if not publish:
            after = drafted(standing, definition, by.actor.id, now)
            await refuse_taken(writer, [(standing, after)])
            await refuse_wrong_draft(writer, self._check, after)
            return await self._save(writer, by, action, standing, after)
        self.rights.publish_at_once(by.actor, kind_of(definition))
        return await self._put_in_force(writer, standing, definition, by, "published", "")

    async def _publish_draft(
        self, writer: Writer, standing: Stored, by: Origin, action: Action, note: str
    ) -> Stored:
        assert standing.draft is not None
        self._refuse_foreign(standing.draft)
        return await self._put_in_force(writer, standing, standing.draft, by, action, note)

    async def _put_in_force(
        self,
        writer: Writer,
        standing: Stored | None,
        definition: Definition,
        by: Origin,
        action: Action,
        note: str,
    ) -> Stored:
        now = self._now()
        after = published(standing, definition, now)
        if standing is not None and stands_so(standing, after):
            if standing.draft is None:
                return standing
            return await self._save(writer, by, action, standing, discarded(standing, now), note)
        return (await self._publish(writer, by, action, [(standing, after)], now, note))[0]

    def _refuse_foreign(self, definition: Definition) -> None:
        if isinstance(definition, Workspace) and definition.id != self._workspace:
            raise DefinitionError([("workspace.id", f"this is workspace {self._workspace}")])

    async def _refuse(self, writer: Writer, pairs: Sequence[Pair]) -> None:
        await refuse_taken(writer, pairs)
        await refuse_wrong(writer, self._check, [after for _, after in pairs])

    async def _save(
        self, writer: Writer, by: Origin, action: Action, before: Stored | None, after: Stored,
        note: str = "",
    ) -> Stored:  # fmt: skip
        saved = await writer.save(after)
        await writer.record([entry_of(by, action, before, saved, note=note)])
        return saved

    async def _publish(
        self, writer: Writer, by: Origin, action: Action, pairs: Sequence[Pair], now: Micros,
        note: str = "",
    ) -> list[Stored]:  # fmt: skip
        await self._refuse(writer, pairs)
        saved = await writer.publish([after for _, after in pairs], now)
        befores = [before for before, _ in pairs]
        await writer.record(
            [
                entry_of(by, action, before, after, note=note)
                for before, after in zip(befores, saved, strict=True)
            ]
        )
        return saved
