"""The audit log: every change of what marketers own, in order of commit, never rewritten.

An entry holds the whole of its target before and after, so that the log alone gives the
state of every table it speaks of (`replay`).
"""

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from services.contracts.definitions import KINDS, Kind
from services.contracts.errors import CuestreamError
from services.contracts.time import Micros
from services.triggers.definitions.actors import Origin
from services.triggers.definitions.rows import from_body, to_body
from services.triggers.definitions.tokens import Token
from services.triggers.definitions.values import Review, Stored

Action = Literal[
    "bootstrapped", "adopted", "created", "edited", "discarded", "submitted", "withdrawn",
    "rejected", "approved", "published", "paused", "resumed", "rolled_back", "applied",
    "archived", "token_created", "token_revoked", "stopped", "went_on", "rollout",
]  # fmt: skip
TOKEN_KIND: Final = "token"  # noqa: S105  (the kind of such a target)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to which target, when, in which request; `number` is given by the store.

    `kind` is a kind of definition or `token`. `version` and `revision` are those the change
    put in force, None where it put nothing. An `adopted` target was there before the log was.
    """

    number: int = 0
    at: Micros
    actor_id: str
    actor_name: str
    actor_role: str
    actor_kind: str
    credential: str | None = None
    request_id: str
    action: Action
    kind: str
    id: str
    version: int | None = None
    revision: int | None = None
    note: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to show; what is None does not matter. `since` counts in, `until` out."""

    kind: str | None = None
    id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    request_id: str | None = None
    since: Micros | None = None
    until: Micros | None = None

    def admits(self, entry: Entry) -> bool:
        """Whether the entry is one of them."""
        exact = all(
            getattr(self, name) in (None, getattr(entry, name))
            for name in ("kind", "id", "actor_id", "action", "request_id")
        )
        return (
            exact
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
        )


class BrokenLog(CuestreamError):
    """The log contradicts itself: an entry is missing or was rewritten."""


class Replayed(msgspec.Struct, kw_only=True):
    """The state that a log leads to: tables by their keys.

    `versions` holds revision and body (None: an archiving), `revisions` when each was
    published.
    """

    definitions: dict[tuple[str, str], Stored] = {}
    versions: dict[tuple[str, str, int], tuple[int, dict[str, Any] | None]] = {}
    revisions: dict[int, Micros] = {}
    tokens: dict[str, Token] = {}


def entry_of(
    by: Origin, action: Action, before: Stored | None, after: Stored, *, note: str = ""
) -> Entry:
    """The entry of a change from `before` to `after`, at `after.updated_at`."""
    published = after.revision != (0 if before is None else before.revision)
    return Entry(
        at=after.updated_at,
        **_who(by),
        action=action,
        kind=after.kind,
        id=after.id,
        version=after.version if published else None,
        revision=after.revision if published else None,
        note=note,
        before=None if before is None else stored_body(before),
        after=stored_body(after),
    )


def token_entry(
    by: Origin, action: Action, before: Token | None, after: Token, at: Micros
) -> Entry:
    """The entry of a token's change; neither secret nor hash stands in it."""
    return Entry(
        at=at,
        **_who(by),
        action=action,
        kind=TOKEN_KIND,
        id=after.id,
        before=None if before is None else msgspec.to_builtins(before),
        after=msgspec.to_builtins(after),
    )


def _who(by: Origin) -> dict[str, Any]:
    actor = by.actor
    return {
        "actor_id": actor.id,
        "actor_name": actor.name,
        "actor_role": actor.role,
        "actor_kind": actor.kind,
        "credential": actor.credential,
        "request_id": by.request_id,
    }


def stored_body(stored: Stored) -> dict[str, Any]:
    """All of a definition's row as JSON values."""
    bare = msgspec.structs.replace(stored, draft=None, published=None)
    return {
        **msgspec.json.decode(msgspec.json.encode(bare)),
        "draft": to_body(stored.draft),
        "published": to_body(stored.published),
    }


def stored_of(body: dict[str, Any]) -> Stored:
    """The row again."""
    kind: Kind = body["kind"]
    made = {
        "review": msgspec.convert(body["review"], Review),
        "draft": from_body(kind, body["draft"]),
        "published": from_body(kind, body["published"]),
    }
    return Stored(**{**body, **made})


def replay(entries: Iterable[Entry], onto: Replayed | None = None) -> Replayed:
    """Follow the entries, in order of number, to the state they lead to.

    Raises:
        BrokenLog: a target is not what the entry says it was before.
    """
    state = Replayed() if onto is None else onto
    for entry in entries:
        if entry.kind == TOKEN_KIND:
            _replay_token(state, entry)
        elif entry.kind in KINDS:
            _replay_definition(state, entry)
    return state


def _replay_token(state: Replayed, entry: Entry) -> None:
    before = None if entry.before is None else msgspec.convert(entry.before, Token)
    _refuse_break(entry, state.tokens.get(entry.id), before)
    state.tokens[entry.id] = msgspec.convert(entry.after, Token)


def _replay_definition(state: Replayed, entry: Entry) -> None:
    key = (entry.kind, entry.id)
    before = None if entry.before is None else stored_of(entry.before)
    _refuse_break(entry, state.definitions.get(key), before)
    assert entry.after is not None
    after = stored_of(entry.after)
    state.definitions[key] = after
    if entry.revision is not None and entry.version is not None:
        body = to_body(after.published) if after.in_force else None
        state.versions[(*key, entry.version)] = (entry.revision, body)
        state.revisions[entry.revision] = entry.at


def _refuse_break(entry: Entry, standing: object, before: object) -> None:
    if standing != before:
        raise BrokenLog(f"entry {entry.number}: {entry.kind} {entry.id} was something else before")
