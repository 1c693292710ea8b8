"""Sensitive traits: sealed where they are stored, masked where they are shown."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, HTTPException, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.contracts.decision import Decision
from services.contracts.masking import (
    SENSITIVE_TRAITS,
    is_sensitive,
    mask_clause,
    mask_tags,
    mask_traits,
)
from services.contracts.profile import Profile
from services.profile_store.profiles import Profiles, TagFilter, Written
from services.profile_store.schemas import ProfileOut
from services.runtime.bearer import BearerTokens
from services.runtime.logs import get_logger
from services.runtime.sealing import Keyring, Unopened

_bearer: Final = HTTPBearer(auto_error=False)
_log = get_logger(__name__)


class Sensitive:
    """Which traits are sensitive, the keys they are sealed with, and who may see them.

    `tokens` are those that may ask for a profile with `reveal`; with none nobody may. `tags`
    gives the tags that show a sensitive value.
    """

    def __init__(
        self,
        names: Collection[str] = SENSITIVE_TRAITS,
        keys: Keyring | None = None,
        tokens: BearerTokens | None = None,
        tags: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.names = frozenset(names)
        self.keys = Keyring("") if keys is None else keys
        self._tokens = tokens
        self._tags = tags

    @property
    def tags(self) -> Collection[str]:
        """Tags that show a sensitive value, as they are defined now."""
        return self._tags()

    def may_see(self, token: str) -> bool:
        """Whether who bears this token may see everything."""
        return self._tokens is not None and self._tokens.accepts(token)

    def sealed(self, profile: Profile) -> Profile:
        """The profile with its sensitive traits sealed, each for its place."""
        if not self.keys.sealing:
            return profile
        return self._traits(profile, self.keys.seal)

    def opened(self, profile: Profile) -> Profile:
        """The profile as it was before; what no key opens is left sealed, and said in the log."""
        return self._traits(profile, self._open)

    def masked(self, profile: Profile) -> Profile:
        """An opened profile as anybody may see it."""
        traits, hidden = mask_traits(profile.traits, self.names), self.tags
        tags = mask_tags(profile.tags, hidden) if hidden else profile.tags
        return msgspec.structs.replace(profile, traits=traits, tags=tags)

    def masked_decision(self, decision: Decision) -> Decision:
        """A decision as anybody may see it: without what a clause found that is sensitive."""
        details = mask_clause(decision.details, self.names, self.tags)
        return msgspec.structs.replace(decision, details=details)

    def refuse_search(self, *, trait: str | None = None, tag: str | None = None) -> None:
        """Nobody finds out by asking whom a phone belongs to; and sealed it cannot be compared.

        Raises:
            HTTPException: 422, it is sensitive.
        """
        if (trait is not None and is_sensitive(trait, self.names)) or tag in self.tags:
            raise HTTPException(422, f"{trait or tag} is sensitive, and cannot be searched for")

    def sealed_traits(self, traits: dict[str, Any], person: str) -> dict[str, Any]:
        """A person's traits with the sensitive ones sealed."""
        return self._turned(traits, person, self.keys.seal)

    def opened_traits(self, traits: dict[str, Any], person: str) -> dict[str, Any] | None:
        """A person's traits as they were, None where one does not open."""
        try:
            return self._turned(traits, person, self.keys.open)
        except Unopened:
            return None

    def _open(self, value: Any, place: str) -> Any:
        try:
            return self.keys.open(value, place)
        except Unopened as error:
            _log.warning("a sealed trait does not open", reason=str(error))
            return value

    def _traits(self, profile: Profile, turn: Any) -> Profile:
        if not any(is_sensitive(name, self.names) for name in _names(profile.traits)):
            return profile
        traits = self._turned(profile.traits, profile.person, turn)
        return msgspec.structs.replace(profile, traits=traits)

    def _turned(self, traits: dict[str, Any], place: str, turn: Any) -> dict[str, Any]:
        turned: dict[str, Any] = {}
        for name, value in traits.items():
            within = f"{place}\x00{name}"
            if value is not None and is_sensitive(name, self.names):
                turned[name] = turn(value, within)
            elif isinstance(value, dict):
                turned[name] = self._turned(value, within, turn)
            else:
                turned[name] = value
        return turned


def _names(traits: dict[str, Any]) -> list[str]:
    """All names, those of objects within too."""
    names = list(traits)
    for value in traits.values():
        if isinstance(value, dict):
            names += _names(value)
    return names


class SealedProfiles:
    """The port over another adapter, which never sees what is sensitive in the clear.

    What it gives is sealed still: `Show` opens what may be shown.
    """

    def __init__(self, inner: Profiles, sensitive: Sensitive) -> None:
        self._inner = inner
        self._sensitive = sensitive

    async def put(self, batch: Sequence[Profile]) -> Written:
        """See the port."""
        return await self._inner.put([self._sensitive.sealed(profile) for profile in batch])

    async def get(self, id_: str) -> Profile | None:
        """See the port."""
        return await self._inner.get(id_)

    async def find(self, where: TagFilter, *, limit: int, after: str | None) -> list[Profile]:
        """See the port."""
        return await self._inner.find(where, limit=limit, after=after)


class Show:
    """How one request is shown profiles: masked, or as they are to who may see that."""

    def __init__(self, sensitive: Sensitive, *, reveal: bool) -> None:
        self._sensitive = sensitive
        self._reveal = reveal

    def __call__(self, profile: Profile) -> ProfileOut:
        """The profile as this request may see it."""
        opened = self._sensitive.opened(profile)
        return ProfileOut.of(opened if self._reveal else self._sensitive.masked(opened))


async def show_for(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    reveal: Annotated[
        bool, Query(description="show sensitive traits; for tokens that may see them")
    ] = False,
) -> Show:
    """Dependency of routes that show profiles; the application has `state.sensitive`.

    Raises:
        HTTPException: 403, the token may not see what it asks for.
    """
    sensitive: Sensitive = request.app.state.sensitive
    if reveal and (given is None or not sensitive.may_see(given.credentials)):
        raise HTTPException(403, "this token may not see sensitive traits")
    return Show(sensitive, reveal=reveal)


Shown = Annotated[Show, Depends(show_for)]
