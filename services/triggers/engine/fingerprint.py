"""64-bit fingerprints: equal texts, equal numbers, on every machine and in every process."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

FINGERPRINT_BYTES = 8


def fingerprint(text: str) -> int:
    """Eight bytes of a text (BLAKE2b, RFC 7693, with an 8-byte digest), as an integer."""
    digest = blake2b(text.encode(), digest_size=FINGERPRINT_BYTES).digest()
    return int.from_bytes(digest, "big")


def value_text(value: object) -> str:
    """One text for each scalar of JSON: 1 and 1.0 are one value, 1, "1" and true are three."""
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, bool):
        return "b1" if value else "b0"
    if isinstance(value, float) and value.is_integer():
        return f"n{int(value)}"
    return f"n{value!r}"


def fingerprint_parts(parts: Sequence[str]) -> int:
    """A fingerprint of several texts; lengths keep their borders apart."""
    return fingerprint(_joined(parts))


def _joined(parts: Sequence[str]) -> str:
    return "".join([f"{len(part)}:{part}" for part in parts])


def fingerprints_behind(parts: Sequence[str]) -> Callable[[str], int]:
    """`fingerprint_parts` of these texts and one more: for one of many, or of everybody."""
    begun = blake2b(_joined(parts).encode(), digest_size=FINGERPRINT_BYTES)

    def fingerprint_with(part: str) -> int:
        whole = begun.copy()
        whole.update(f"{len(part)}:{part}".encode())
        return int.from_bytes(whole.digest(), "big")

    return fingerprint_with


def hundredth(purpose: str, trigger: str, person: str) -> int:
    """A person's place from 0 to 99 in a trigger, independent of the places for other purposes.

    Below a percentage are so many of all people; raising it adds people and loses none.
    """
    return fingerprint_parts([purpose, trigger, person]) % 100
