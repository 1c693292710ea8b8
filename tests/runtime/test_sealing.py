"""Sealed values: opened by any key of the ring, at their own place only."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.sealing import (
    KEYS_MAX,
    SALTS_KEPT_MAX,
    SEALED,
    Keyring,
    MissingKey,
    Unopened,
    WrongKeys,
    is_frame,
    is_sealed,
)


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


@given(value=st.binary(max_size=64), place=st.binary(max_size=16))
def test_bytes_that_were_sealed_open_as_they_were(value: bytes, place: bytes) -> None:
    ring = Keyring(NEW)
    frame = ring.seal_bytes(value, place)
    assert is_frame(frame)
    assert len(frame) == len(value) + ring.frame_bytes
    assert Keyring(NEW).open_bytes(frame, place) == value


@given(value=st.binary(max_size=8).filter(lambda value: not is_frame(value)))
def test_bytes_in_the_clear_open_as_they_are(value: bytes) -> None:
    assert Keyring(NEW).open_bytes(value, b"p") is value
    assert Keyring("").open_bytes(value, b"p") is value
    assert Keyring("").seal_bytes(value, b"p") is value


def test_no_two_frames_have_the_same_nonce_under_one_key() -> None:
    ring, other = Keyring(NEW), Keyring(NEW)
    frames = [one.seal_bytes(b"", b"p") for one in (ring, other) for _ in range(500)]
    assert len({frame[:-16] for frame in frames}) == 1_000


@pytest.mark.parametrize("at", [1, 2, 3, 8, 24, 30, 40, -1])
def test_a_frame_that_was_tampered_with_does_not_open(at: int) -> None:
    frame = bytearray(Keyring(NEW).seal_bytes(b"secret", b"p"))
    frame[at] ^= 0x40
    with pytest.raises(Unopened):
        Keyring(NEW).open_bytes(bytes(frame), b"p")


@given(cut=st.integers(1, 50))
def test_a_frame_that_was_cut_off_does_not_open(cut: int) -> None:
    frame = Keyring(NEW).seal_bytes(b"secret", b"p")
    with pytest.raises(Unopened):
        Keyring(NEW).open_bytes(frame[:cut], b"p")


def test_a_frame_opens_at_its_own_place_only() -> None:
    frame = Keyring(NEW).seal_bytes(b"x", b"events\0ana")
    with pytest.raises(Unopened) as refused:
        Keyring(NEW).open_bytes(frame, b"events\0bob")
    assert not isinstance(refused.value, MissingKey)


def test_the_key_that_is_missing_is_named_with_its_setting() -> None:
    frame = Keyring(OLD).seal_bytes(b"x", b"p")
    for ring in (Keyring(NEW), Keyring("")):
        with pytest.raises(MissingKey, match=r"events@7 .* 'k1'.*CUESTREAM_SENSITIVE_KEYS"):
            ring.open_bytes(frame, b"p", "events@7")
        with pytest.raises(MissingKey):
            ring.require(frame, "events@7")
    Keyring(OLD).require(frame, "events@7")
    Keyring("").require(b"\xc1 noise", "events@7")
    Keyring("").require(None, "events@7")


def test_frames_of_before_are_known_by_their_key() -> None:
    ring = Keyring(f"{NEW},{OLD}")
    frame = Keyring(OLD).seal_bytes(b"x", b"p")
    assert ring.open_bytes(frame, b"p") == b"x"
    assert ring.is_old_frame(frame)
    assert ring.is_old_frame(b"x")
    assert not ring.is_old_frame(Keyring(NEW).seal_bytes(b"x", b"p"))
    assert not Keyring("").is_old_frame(b"x")


def test_a_text_that_was_sealed_opens_as_it_was() -> None:
    ring = Keyring(NEW)
    sealed = ring.seal_text("to ann@shop.example", b"p")
    assert "shop" not in sealed
    assert ring.open_text(sealed, b"p") == "to ann@shop.example"
    assert ring.open_text("in the clear", b"p") == "in the clear"
    assert Keyring("").seal_text("as it is", b"p") == "as it is"
    for like_one in ("\x1a", "\x1a#", "\x1aaGkh"):
        assert ring.open_text(like_one, b"p") == like_one
    with pytest.raises(Unopened):
        ring.open_text(sealed[:-4], b"p")


def test_keys_made_of_salts_are_kept_up_to_a_bound() -> None:
    ring = Keyring(NEW)
    frame = bytearray(ring.seal_bytes(b"x", b"p"))
    for number in range(SALTS_KEPT_MAX + 2):
        frame[5:9] = number.to_bytes(4, "big")
        with pytest.raises(Unopened):
            ring.open_bytes(bytes(frame), b"p")
    assert len(ring._of_salt) == SALTS_KEPT_MAX
