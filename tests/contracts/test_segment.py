"""One parser for HTTP and direct records: tolerant where SDKs differ, strict where it matters."""

from typing import Any

import msgspec
import pytest

from services.contracts.codec import decode_pack, encode_pack
from services.contracts.errors import Malformed
from services.contracts.event import EVENT_BYTES_MAX, EVENT_DEPTH_MAX, PERSON_CHARS_MAX, Event
from services.contracts.segment import parse_message
from services.contracts.timestamp import parse_sent_at, parse_timestamp

NOON = parse_timestamp("2026-11-21T12:00:00Z")
SECOND = 1_000_000


def message(**fields: Any) -> bytes:
    """A track call with these fields on top; None leaves a field out."""
    base = {"type": "track", "event": "Product Added", "userId": "u-1", "messageId": "m-1"}
    return msgspec.json.encode({k: v for k, v in (base | fields).items() if v is not None})


def parse(raw: bytes, **options: Any) -> Event:
    return parse_message(raw, **({"received_at": NOON} | options))


def refusal(raw: bytes, **options: Any) -> str:
    with pytest.raises(Malformed) as caught:
        parse(raw, **options)
    return caught.value.code


def test_a_typical_track_call_becomes_an_event() -> None:
    event = parse(
        b'{"integrations":{},"anonymousId":null,"properties":{"price":12.5,"n":2},"timestamp":'
        b'"2026-11-21T11:59:00.250+00:00","context":{"ip":"203.0.113.9"},"userId":"u-1",'
        b'"type":"track","event":"Product Added","messageId":"m-1"}'
    )
    assert event == Event(
        person="u-1",
        type="track",
        name="Product Added",
        message_id="m-1",
        occurred_at=NOON - 60 * SECOND + 250_000,
        received_at=NOON,
        properties={"price": 12.5, "n": 2},
        context={"ip": "203.0.113.9"},
        user_id="u-1",
    )


@pytest.mark.parametrize("kind", ["identify", "page", "screen", "group", "alias"])
def test_calls_other_than_track_get_a_reserved_name(kind: str) -> None:
    event = parse(message(type=kind, event=None, previousId="anon-1", groupId="g-1"))
    assert (event.type, event.name) == (kind, f"${kind}")


def test_an_event_may_not_borrow_a_reserved_name() -> None:
    assert refusal(message(event="$page")) == "reserved_event"


def test_the_person_is_the_user_id_else_the_anonymous_id() -> None:
    assert parse(message(anonymousId="a-1")).person == "u-1"
    anonymous = parse(message(userId=None, anonymousId="a-1"))
    assert (anonymous.person, anonymous.user_id) == ("a-1", None)


@pytest.mark.parametrize("absent", [b"null", b'""', b'"  "'])
def test_null_and_blank_ids_count_as_absent(absent: bytes) -> None:
    raw = b'{"type":"track","event":"x","userId":%s,"anonymousId":"a"}' % absent
    assert parse(raw).person == "a"
    assert refusal(b'{"type":"track","event":"x","userId":%s}' % absent) == "missing_identity"


@pytest.mark.parametrize(
    ("written", "text"), [(b"42", "42"), (b"42.0", "42"), (b"4.5", "4.5"), (b"9" * 40, "9" * 40)]
)
def test_numbers_as_ids_become_text(written: bytes, text: str) -> None:
    assert parse(b'{"type":"track","event":"x","userId":%s}' % written).person == text


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"type": "tracks"}, "unknown_type"),
        ({"type": None}, "missing_type"),
        ({"type": 5}, "bad_field"),
        ({"event": None}, "missing_event"),
        ({"event": " "}, "missing_event"),
        ({"event": "e" * 257}, "event_name_too_long"),
        ({"event": ["x"]}, "bad_field"),
        ({"userId": {}}, "bad_field"),
        ({"userId": True}, "bad_field"),
        ({"userId": "u" * (PERSON_CHARS_MAX + 1)}, "id_too_long"),
        ({"anonymousId": "u" * (PERSON_CHARS_MAX + 1)}, "id_too_long"),
        ({"messageId": "m" * 257}, "id_too_long"),
        ({"properties": []}, "bad_field"),
        ({"properties": "{}"}, "bad_field"),
        ({"properties": {"n": 2**63}}, "number_out_of_range"),
        ({"properties": {"n": [{"n": -(2**63) - 1}]}}, "number_out_of_range"),
        ({"properties": {"n": 10**300}}, "number_out_of_range"),
        ({"context": 1}, "bad_field"),
        ({"timestamp": "2026-02-30T00:00:00Z"}, "bad_timestamp"),
        ({"timestamp": "yesterday"}, "bad_timestamp"),
        ({"timestamp": {}}, "bad_field"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp_out_of_range"),
        ({"timestamp": "2200-01-01"}, "timestamp_out_of_range"),
        ({"timestamp": -1}, "timestamp_out_of_range"),
        ({"type": "alias"}, "missing_previous_id"),
        ({"type": "group"}, "missing_group_id"),
        ({"properties": {"a": "x\x00y"}}, "nul_character"),
        ({"properties": {"x\x00y": [1]}}, "nul_character"),
        ({"properties": {"a": [["\x00"]]}}, "nul_character"),
        ({"userId": "\x00"}, "nul_character"),
        ({"properties": {"text": "x" * EVENT_BYTES_MAX}}, "event_too_large"),
    ],
)
def test_what_cannot_be_an_event_is_refused_with_a_code(fields: Any, code: str) -> None:
    assert refusal(message(**fields)) == code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "bad_json"),
        (b"[1]", "bad_field"),
        (b"null", "bad_field"),
        (b'{"type":"track"', "bad_json"),
        (b'{"type":5 oops}', "bad_json"),
        (b'{"properties":{"a":NaN}}', "bad_json"),
        (b'{"properties":{"a":-Infinity}}', "bad_json"),
        (b'{"properties":{"a":1e999}}', "number_out_of_range"),
        (b'{"properties":{"a":"\\ud800"}}', "bad_json"),
        (b'{"properties":{"a":"\xed\xa0\x80"}}', "bad_json"),
        (b'{"properties":{"a":"\xff"}}', "bad_json"),
        (b'\xef\xbb\xbf{"type":"track"}', "bad_json"),
        (b'{"other":' + b"[" * 9000 + b"]" * 9000 + b"}", "too_deep"),
        (b"[" * 9000, "too_deep"),
    ],
)
def test_text_that_is_no_json_object_is_refused(raw: bytes, code: str) -> None:
    assert refusal(raw) == code


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert parse(message(properties={"a": "\\u0000"})).properties == {"a": "\\u0000"}


def test_depth_is_allowed_up_to_the_limit_and_no_further() -> None:
    def nested(levels: int) -> bytes:
        properties = b'{"a":' * levels + b"1" + b"}" * levels
        return b'{"type":"track","event":"x","userId":"u","properties":%s}' % properties

    for levels in range(1, EVENT_DEPTH_MAX):
        found: Any = parse(nested(levels)).properties
        for _ in range(levels):
            found = found["a"]
        assert found == 1
    assert refusal(nested(EVENT_DEPTH_MAX)) == "too_deep"


@pytest.mark.parametrize("levels", range(EVENT_DEPTH_MAX - 2))
def test_no_depth_hides_a_number_that_nothing_can_hold(levels: int) -> None:
    deep = b'{"a":[' * (levels // 2) + b"%s" + b"]}" * (levels // 2)
    text = b'{"type":"track","event":"x","userId":"u","traits":{"t":%s}}' % deep
    parse(text % b"9223372036854775807")
    assert refusal(text % b"9223372036854775808") == "number_out_of_range"
    assert refusal(text % b"1e999") == "number_out_of_range"


def test_a_field_that_nobody_reads_may_be_deeper() -> None:
    unread = b'{"x":' * 40 + b"1" + b"}" * 40
    known = b'{"a":' * 10 + b"1" + b"}" * 10
    parse(b'{"type":"track","event":"x","userId":"u","properties":%s,"other":%s}' % (known, unread))


def test_whatever_is_accepted_can_be_packed_and_comes_back_the_same() -> None:
    values = {"i": 2**63 - 1, "j": -(2**63), "f": 1e308, "s": "😀\u200b", "l": [None, True, {}]}
    event = parse(message(properties=values, userId=None, anonymousId="a"))
    assert decode_pack(encode_pack([event])) == [event]


def test_a_refusal_never_repeats_a_value() -> None:
    secret = "anna@example.com"
    for raw in (
        message(type=secret),
        message(timestamp=secret),
        message(properties=[secret]),
        message(traits={secret: {"a": 2**70}}),
        message(context={secret: secret}, type=None),
        b'{"%s":' % secret.encode(),
    ):
        with pytest.raises(Malformed) as caught:
            parse(raw)
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("2026-11-21T12:00:00Z", 0),
        ("2026-11-21t12:00:00z", 0),
        ("2026-11-21T12:00:00", 0),
        ("2026-11-21 12:00", 0),
        ("2026-11-21", -43_200 * SECOND),
        ("20261121", -43_200 * SECOND),
        ("2026-11-21T20:00:00+08:00", 0),
        ("2026-11-21T12:00:00.5Z", 500_000),
        ("2026-11-21T12:00:00.123456789Z", 123_456),
        (NOON // SECOND, 0),
        (NOON // 1000, 0),
        (NOON, 0),
        (NOON / SECOND + 0.25, 250_000),
        (str(NOON // 1000), 0),
    ],
)
def test_timestamps_are_read_in_every_form_clients_use(written: Any, micros: int) -> None:
    assert parse_timestamp(written) == NOON + micros


def test_a_wrong_client_clock_is_corrected_by_sent_at() -> None:
    # The client's clock runs an hour ahead: sent at 13:00 its time, happened a minute before.
    raw = message(timestamp="2026-11-21T12:59:00Z", sentAt="2026-11-21T13:00:00Z")
    assert parse(raw).occurred_at == NOON - 60 * SECOND


def test_the_batch_sent_at_goes_before_the_message_s_own() -> None:
    raw = message(timestamp="2026-11-21T12:59:00Z", sentAt="2020-01-01T00:00:00Z")
    sent_at = parse_timestamp("2026-11-21T13:00:00Z")
    assert parse(raw, sent_at=sent_at).occurred_at == NOON - 60 * SECOND


def test_the_original_timestamp_goes_before_the_timestamp() -> None:
    raw = message(timestamp="2026-01-01", originalTimestamp="2026-11-21T11:00:00Z")
    assert parse(raw).occurred_at == NOON - 3600 * SECOND


def test_without_a_timestamp_it_happened_when_it_was_received() -> None:
    assert parse(message(sentAt="2026-11-21T13:00:00Z")).occurred_at == NOON


@pytest.mark.parametrize("broken", ["", "never", "2026-02-30", None, True, [], "1066-01-01"])
def test_an_unreadable_sent_at_costs_the_correction_only(broken: Any) -> None:
    assert parse_sent_at(broken) is None


def test_a_correction_that_leaves_the_calendar_is_refused() -> None:
    raw = message(timestamp="1970-01-02T00:00:00Z", sentAt="2199-01-01T00:00:00Z")
    assert refusal(raw) == "timestamp_out_of_range"


def test_a_record_stamp_outside_the_calendar_is_refused() -> None:
    assert refusal(message(), received_at=-1) == "timestamp_out_of_range"


def test_replayed_history_is_received_when_it_happened() -> None:
    raw = message(timestamp="2026-11-21T11:00:00Z", sentAt="2026-11-21T13:00:00Z")
    event = parse(raw, received_at=None)
    assert event.occurred_at == event.received_at == NOON - 3600 * SECOND
    assert refusal(message(), received_at=None) == "missing_timestamp"


def test_a_missing_message_id_is_derived_so_that_a_retry_is_recognised() -> None:
    raw = message(messageId=None, timestamp="2026-11-21T11:00:00Z")
    first, retry = parse(raw), parse(raw, received_at=NOON + SECOND)
    assert first.message_id == retry.message_id
    assert first.message_id.startswith("derived-")
    assert parse(message(messageId=None, timestamp="2026-11-21")).message_id != first.message_id


def test_without_id_and_timestamp_two_arrivals_are_two_events() -> None:
    raw = message(messageId=None)
    assert parse(raw).message_id == parse(raw).message_id
    assert parse(raw).message_id != parse(raw, received_at=NOON + 1).message_id


def test_the_path_implies_the_type_and_must_not_contradict_it() -> None:
    assert parse(message(type=None), implied_type="track").type == "track"
    assert parse(message(type="track"), implied_type="track").type == "track"
    assert refusal(message(type="page"), implied_type="track") == "type_mismatch"


def test_page_name_and_category_join_the_properties_unless_there() -> None:
    raw = message(type="page", name="Pricing", category="Docs", properties={"category": "Own"})
    assert parse(raw).properties == {"category": "Own", "name": "Pricing"}


def test_identify_finds_its_traits_in_the_context_too() -> None:
    context = {"traits": {"plan": "free"}}
    assert parse(message(type="identify", context=context)).traits == {"plan": "free"}
    own = message(type="identify", context=context, traits={"plan": "pro"})
    assert parse(own).traits == {"plan": "pro"}
    assert parse(message(context=context)).traits == {}


def test_unknown_fields_are_left_alone() -> None:
    assert parse(message(integrations={"All": True}, _metadata={}, channel="server"))
