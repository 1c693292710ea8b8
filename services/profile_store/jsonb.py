"""Text and JSON for PostgreSQL, which cannot hold the character U+0000, without loss.

U+0000 is stored as U+001A followed by `0`, and U+001A itself as U+001A followed by `1`, in
columns and within JSON alike. Everything else is stored as it is.
"""

import re
from typing import Any, Final

import msgspec

_SUB: Final = "\x1a"
# In JSON text both stand as \u escapes. A backslash that is itself escaped is matched first,
# so that the text \u0000 written out in a value stays what it is.
_ESCAPE: Final = re.compile(r"\\(\\|u0000|u001a)")
_ESCAPED: Final = {"\\": "\\\\", "u0000": "\\u001a0", "u001a": "\\u001a1"}
_UNESCAPE: Final = re.compile(r"\\(\\|u001a0|u001a1)")
_UNESCAPED: Final = {"\\": "\\\\", "u001a0": "\\u0000", "u001a1": "\\u001a"}


def to_text(value: str) -> str:
    """As a text column holds it."""
    if "\x00" in value or _SUB in value:
        return value.replace(_SUB, _SUB + "1").replace("\x00", _SUB + "0")
    return value


def from_text(stored: str) -> str:
    """The text that `to_text` was given."""
    if _SUB in stored:
        return stored.replace(_SUB + "0", "\x00").replace(_SUB + "1", _SUB)
    return stored


def to_jsonb(value: Any) -> str:
    """JSON text as a jsonb column holds it."""
    text = msgspec.json.encode(value).decode()
    if "\\u00" in text:
        return _ESCAPE.sub(lambda found: _ESCAPED[found[1]], text)
    return text


def from_jsonb(stored: str) -> Any:
    """The value that `to_jsonb` was given, with numbers of equal value."""
    if "\\u001a" in stored:
        stored = _UNESCAPE.sub(lambda found: _UNESCAPED[found[1]], stored)
    return msgspec.json.decode(stored)
