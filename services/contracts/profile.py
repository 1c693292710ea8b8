"""The profile snapshot: what is known of a person at one instant of their log."""

from typing import Any

import msgspec

from services.contracts.time import Micros


class Consent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Proof of one answer: when it was given (microseconds), by which event, from where, to
    which wording and how, as far as the event said."""

    answer: bool
    at: Micros
    event_id: str
    source: str = ""
    wording: str = ""
    method: str = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Traits, tag values and the place in the log they come from.

    `approximate` names the tags whose value is an estimate, `segments` those that the person is
    in; `consents` are the answers that stand, with their proof; the `messages_` fields say what
    became of the sends to this person. Newer wins by `(as_of, source_offset)`: `as_of` is the
    person's `now`, which never goes back, and also orders snapshots across a re-created topic
    whose offsets began again. `merged_into`: the person turned out to be this other one, who
    has everything now; nothing else is said here.
    """

    v: int = 1
    person: str
    as_of: Micros
    source_partition: int
    source_offset: int
    revision: int
    user_id: str | None = None
    anonymous_id: str | None = None
    traits: dict[str, Any] = {}
    consents: dict[str, Consent] = {}
    tags: dict[str, Any] = {}
    approximate: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    messages_accepted: int = 0
    messages_failed: int = 0
    last_message_at: Micros | None = None
    first_seen_at: Micros
    last_seen_at: Micros
    merged_into: str | None = None
