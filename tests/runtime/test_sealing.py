"""Sealed values: opened by any key of the ring, at their own place only."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.sealing import KEYS_MAX, SEALED, Keyring, Unopened, WrongKeys, is_sealed


def key(name: str, byte: int = 1) -> str:
    """A key as a setting holds it."""
    return f"{name}:{b64encode(bytes([byte]) * 32).decode()}"


OLD, NEW = key("k1", 1), key("k2", 2)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab$", max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(value=JSON)
def test_what_was_sealed_opens_as_it_was(value: Any) -> None:
    ring = Keyring(NEW)
    sealed = ring.seal(value, "ana/phone")
    assert is_sealed(sealed)
    assert ring.open(sealed, "ana/phone") == value


def test_equal_values_look_different_and_nothing_of_them_shows() -> None:
    ring = Keyring(NEW)
    one, other = (ring.seal("+8613800138000", "ana/phone") for _ in range(2))
    assert one != other
    assert "138" not in one[SEALED].partition(".")[0]


def test_a_new_key_seals_and_the_old_ones_still_open() -> None:
    sealed = Keyring(OLD).seal("x", "p")
    ring = Keyring(f"{NEW}, {OLD}")
    assert ring.open(sealed, "p") == "x"
    assert ring.is_old(sealed)
    assert ring.is_old("x")
    again = ring.seal("x", "p")
    assert again[SEALED].startswith("k2.")
    assert not ring.is_old(again)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-4] + "AAAA",
        lambda text: text.partition(".")[0] + ".",
        lambda text: "k9" + text[2:],
        lambda text: text.partition(".")[0] + ".###",
    ],
)
def test_what_was_tampered_with_does_not_open(damage: Any) -> None:
    ring = Keyring(NEW)
    sealed = ring.seal("secret", "p")[SEALED]
    with pytest.raises(Unopened):
        ring.open({SEALED: damage(sealed)}, "p")


def test_it_opens_at_its_own_place_only() -> None:
    ring = Keyring(NEW)
    with pytest.raises(Unopened):
        ring.open(ring.seal("x", "ana/phone"), "bob/phone")


def test_without_keys_everything_is_as_it_is() -> None:
    ring = Keyring("")
    assert not ring.sealing
    assert ring.seal("x", "p") == "x"
    assert not ring.is_old("x")
    with pytest.raises(Unopened):
        ring.open(Keyring(NEW).seal("x", "p"), "p")


@pytest.mark.parametrize(
    "setting",
    [
        "k1",
        "k1:short",
        "k1:" + b64encode(b"x" * 16).decode(),
        f"{OLD},{OLD}",
        "k.1:" + b64encode(b"x" * 32).decode(),
        ",".join(key(f"k{number}") for number in range(KEYS_MAX + 1)),
    ],
)
def test_wrong_keys_are_refused_without_being_told(setting: str) -> None:
    with pytest.raises(WrongKeys) as refused:
        Keyring(setting)
    assert setting.partition(":")[2] not in str(refused.value) or ":" not in setting
