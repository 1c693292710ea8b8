"""Cutting a body into messages, also where it is no JSON text as a whole."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batch import read_batch, read_single
from services.ingest.refusals import Refused


def messages(body: bytes) -> list[bytes]:
    return [bytes(raw) for raw in read_batch(body).messages]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"batch":[{"a":NaN},{"b":1}]}', [b'{"a":NaN}', b'{"b":1}']),
        (b'{"batch":[NaN]}', [b"NaN"]),
        (b'{"batch":[{"a":"]}\\"["},nope , [1,2]] }', [b'{"a":"]}\\"["}', b"nope", b"[1,2]"]),
        (b'{"x":{"batch":[9]},"batch":[{"a":01}]}', [b'{"a":01}']),
        (b' {"writeKey":"batch","batch" : [ {"a":Infinity} ] } ', [b'{"a":Infinity}']),
        (b'{"batch":["\\ud800",{"b":1}]}', [b'"\\ud800"', b'{"b":1}']),
        (b'{"batch":[%s1%s,{"b":1}]}' % (b"[" * 3000, b"]" * 3000), None),
    ],
)
def test_a_batch_with_broken_messages_is_still_cut(
    body: bytes, expected: list[bytes] | None
) -> None:
    cut = messages(body)
    assert cut == expected or (expected is None and cut[1] == b'{"b":1}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"batch":[{"a":NaN}',
        b'{"batch":[{"a":NaN}]',
        b'{"batch":[{"a":NaN]}]}',
        b'{"batch":[{"a":NaN}]}}',
        b'{"batch":[{"a":NaN}]} x',
        b'x{"batch":[{"a":NaN}]}',
        b'{"batch":[{"a":"NaN}]}',
        b'{"batch":[NaN],"batch":[NaN]}',
        b'{"batch":[{}],"batch":[NaN]}',
        b'{"batch":NaN}',
        b'{"batch":[NaN],"sentAt":NaN}',
        b'{"batch":[NaN],}',
        b'["batch",[NaN]]',
        b"}" * 100,
        b'"' * 101,
    ],
)
def test_a_body_whose_brackets_or_frame_are_broken_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_batch(body)
    assert caught.value.status == 400
    assert caught.value.code in ("bad_json", "bad_field")


def test_the_other_fields_survive_the_cut() -> None:
    batch = read_batch(
        b'{"sentAt":"2026-01-01T00:00:00Z","batch":[NaN],"writeKey":"k","context":{"a":1}}'
    )
    assert (batch.sent_at, batch.write_key) == (1_767_225_600_000_000, "k")
    assert batch.context == {"a": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=6), JSON)
def test_what_python_writes_is_cut_into_what_was_written(
    batch: list[object], other: object
) -> None:
    # Python's encoder writes NaN and infinities, and lone surrogates as escapes.
    body = json.dumps({"other": str(other), "batch": [float("nan"), *batch]}).encode()
    assert messages(body) == [b"NaN", *(json.dumps(one).encode() for one in batch)]


@pytest.mark.parametrize(
    "filler", [b"[", b"{", b'"', b'"\\', b"\\", b'{"batch":[', b'"batch":[', b",", b'":"']
)
def test_cutting_is_linear_in_the_body(filler: bytes) -> None:
    body = b'{"batch":[' + filler * (1_000_000 // len(filler))
    started = time.process_time()
    with pytest.raises(Refused):
        read_batch(body)
    assert time.process_time() - started < 3.0


def test_a_single_call_is_one_message_with_its_key_beside_it() -> None:
    batch = read_single(b'{"type":"track","writeKey":"k"}')
    assert batch.write_key == "k"
    assert [bytes(raw) for raw in batch.messages] == [b'{"type":"track","writeKey":"k"}']
    assert read_single(b"nonsense").write_key is None
