"""Message ids already seen: the same event again is not the same event twice.

One fingerprint an id, in two byte strings of equal order: its first byte, and a record of its
other seven and the second it was seen (4 bytes). Nearly all new ids are told from the old by
the first bytes alone, which one cache line holds. The fingerprint is XXH3: it costs a tenth of
a cryptographic digest, and whoever makes up ids that collide loses only events of their own.
"""

from struct import Struct
from typing import Final

from xxhash import xxh3_64_digest

from services.contracts.time import SECOND, Micros
from services.triggers.engine.fingerprint import FINGERPRINT_BYTES
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import PersonState

_REST_BYTES: Final = FINGERPRINT_BYTES - 1
_SECONDS: Final = Struct(">I")
_RECORD_BYTES: Final = _REST_BYTES + _SECONDS.size
_seconds: Final = _SECONDS.pack


def first_time(state: PersonState, message_id: str, now: Micros, rules: Rules) -> bool:
    """Whether this id was not seen within the window, among the last so many.

    Remembers it; of an id seen again only the first time counts. An id may be remembered up
    to a second longer than the window.
    """
    sample = xxh3_64_digest(message_id.encode())
    head = sample[0]
    if now >= state.seen_until:
        _forget(state, now, rules.message_id_window)
    heads, seen = state.seen_heads, state.seen
    # Asked with `in` first: `find` costs four times as much, and nearly never finds any.
    found = heads.find(head) if head in heads else -1
    while found >= 0:
        at = found * _RECORD_BYTES
        if seen[at : at + _REST_BYTES] == sample[1:]:
            return False
        found = heads.find(head, found + 1)
    gone = len(heads) + 1 - rules.message_ids_max
    if gone > 0:
        del heads[:gone], seen[: gone * _RECORD_BYTES]
    heads.append(head)
    seen += sample[1:]
    seen += _seconds(now // SECOND)
    return True


def join_seen(state: PersonState, other: PersonState, rules: Rules) -> None:
    """Remember the other's ids too, the oldest first; what both have seen as of its first time.

    An event that was counted under both names before stays counted twice.
    """
    seen: dict[bytes, bytes] = {}
    for one in (state, other):
        for place, head in enumerate(one.seen_heads):
            at = place * _RECORD_BYTES
            name = bytes((head, *one.seen[at : at + _REST_BYTES]))
            when = bytes(one.seen[at + _REST_BYTES : at + _RECORD_BYTES])
            seen[name] = min(when, seen.get(name, when))
    latest = sorted(seen.items(), key=lambda one: one[1])[-rules.message_ids_max :]
    state.seen_heads = bytearray(name[0] for name, _ in latest)
    state.seen = bytearray(b"".join([name[1:] + when for name, when in latest]))
    state.seen_until = 0


def _forget(state: PersonState, now: Micros, window: int) -> None:
    """Drop what the window has left; `seen_until` is then when the next one may go."""
    seen, gone = state.seen, 0
    while gone < len(seen):
        at = int.from_bytes(seen[gone + _REST_BYTES : gone + _RECORD_BYTES], "big")
        leaves_at = (at + 1) * SECOND + window
        if now < leaves_at:
            state.seen_until = leaves_at
            break
        gone += _RECORD_BYTES
    del seen[:gone], state.seen_heads[: gone // _RECORD_BYTES]
    if not seen:
        state.seen_until = now + window
