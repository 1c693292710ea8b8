"""Text and JSON survive PostgreSQL's ban on U+0000."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.profile_store.jsonb import from_jsonb, from_text, to_jsonb, to_text

TRICKY = st.text(st.sampled_from('\x00\x1a01u\\"a/'), max_size=12)
TEXTS = TRICKY | st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(TEXTS)
def test_text_round_trips_without_nul(text: str) -> None:
    stored = to_text(text)
    assert "\x00" not in stored
    assert from_text(stored) == text


@given(VALUES)
def test_json_round_trips_without_nul(value: Any) -> None:
    stored = to_jsonb(value)
    # What PostgreSQL sees is a JSON text of its own; it gives that back, spelt its own way.
    seen = msgspec.json.decode(stored)
    assert "\\u0000" not in msgspec.json.encode(seen).decode().replace("\\\\", "")
    assert from_jsonb(msgspec.json.encode(seen).decode()) == value


@given(TRICKY, TRICKY)
def test_different_texts_are_stored_differently(one: str, other: str) -> None:
    assert (one == other) == (to_text(one) == to_text(other))
    assert (one == other) == (to_jsonb(one) == to_jsonb(other))
