"""Message ids already seen: the same event again is not the same event twice.

One packed record an id: 8 bytes of fingerprint, 4 of the second it was seen. The fingerprint
is XXH3: it costs a tenth of a cryptographic digest, and whoever makes up ids that collide
loses only events of their own. As one byte string it is searched, written and read without
making an object for each id.
"""

from typing import Final

from xxhash import xxh3_64_digest

from services.contracts.time import SECOND, Micros
from services.triggers.engine.fingerprint import FINGERPRINT_BYTES
from services.triggers.engine.state import PersonState

_SECONDS_BYTES: Final = 4
RECORD_BYTES: Final = FINGERPRINT_BYTES + _SECONDS_BYTES


def first_time(state: PersonState, message_id: str, now: Micros, window: int, ids_max: int) -> bool:
    """Whether this id was not seen within `window` (microseconds), among the last `ids_max`.

    Remembers it; of an id seen again only the first time counts. An id may be remembered up
    to a second longer than the window.
    """
    sample = xxh3_64_digest(message_id.encode())
    seen = state.seen
    if seen:
        if now >= state.seen_until:
            _forget(state, now, window)
        found = seen.find(sample)
        while found >= 0:
            if found % RECORD_BYTES == 0:
                return False
            found = seen.find(sample, found + 1)
        if len(seen) >= ids_max * RECORD_BYTES:
            del seen[: len(seen) - (ids_max - 1) * RECORD_BYTES]
    else:
        state.seen_until = now + window
    seen += sample + (now // SECOND).to_bytes(_SECONDS_BYTES, "big")
    return True


def _forget(state: PersonState, now: Micros, window: int) -> None:
    """Drop what the window has left; `seen_until` is then when the next one may go."""
    seen, gone = state.seen, 0
    while gone < len(seen):
        at = int.from_bytes(seen[gone + FINGERPRINT_BYTES : gone + RECORD_BYTES], "big")
        leaves_at = (at + 1) * SECOND + window
        if now < leaves_at:
            state.seen_until = leaves_at
            break
        gone += RECORD_BYTES
    del seen[:gone]
    if not seen:
        state.seen_until = now + window
