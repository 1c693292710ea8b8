"""Message ids already seen: the same event again is not the same event twice.

One packed record an id: 8 bytes of fingerprint, 4 of the second it was seen. As one byte
string it is searched, written and read without making an object for each id.
"""

from typing import Final

from services.contracts.time import SECOND, Micros
from services.triggers.engine.fingerprint import FINGERPRINT_BYTES, fingerprint_bytes

_SECONDS_BYTES: Final = 4
_RECORD_BYTES: Final = FINGERPRINT_BYTES + _SECONDS_BYTES


def _second_of(seen: bytearray, start: int) -> int:
    return int.from_bytes(seen[start + FINGERPRINT_BYTES : start + _RECORD_BYTES], "big")


def first_time(seen: bytearray, message_id: str, now: Micros, window: int, ids_max: int) -> bool:
    """Whether this id was not seen within `window` (microseconds), among the last `ids_max`.

    Remembers it; of an id seen again only the first time counts.
    """
    sample = fingerprint_bytes(message_id)
    second, oldest = now // SECOND, (now - window) // SECOND
    while seen and (len(seen) > ids_max * _RECORD_BYTES or _second_of(seen, 0) < oldest):
        del seen[:_RECORD_BYTES]
    found = seen.find(sample)
    while found >= 0:
        if found % _RECORD_BYTES == 0:
            return False
        found = seen.find(sample, found + 1)
    seen += sample + second.to_bytes(_SECONDS_BYTES, "big")
    if len(seen) > ids_max * _RECORD_BYTES:
        del seen[:_RECORD_BYTES]
    return True
