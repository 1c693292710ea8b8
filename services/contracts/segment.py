"""Segment's JSON message form to `Event`: one parser for HTTP bodies and direct Kafka records.

Source: the HTTP Tracking API and the Common Fields of the Segment Spec, and what its Python,
Node and browser SDKs put on the wire (nulls for absent fields, unknown fields, numbers as
ids). docs/ingest.md lists every code raised here.
"""

from hashlib import blake2b
from types import GenericAlias
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from services.contracts.errors import Malformed
from services.contracts.event import (
    ALIAS,
    EVENT_BYTES_MAX,
    EVENT_DEPTH_MAX,
    EVENT_NAME_CHARS_MAX,
    EVENT_TYPES,
    GROUP,
    GROUP_EVENTS,
    IDENTIFY,
    MESSAGE_ID_CHARS_MAX,
    PAGE,
    PERSON_CHARS_MAX,
    RESERVED_NAMES,
    SCREEN,
    TRACK,
    Event,
)
from services.contracts.time import Micros
from services.contracts.timestamp import (
    TIMESTAMP_MAX,
    TIMESTAMP_MIN,
    parse_sent_at,
    parse_timestamp,
)

T = TypeVar("T")

_FLOAT_EXACT_MAX: Final = 2**53

# msgpack and the engine's arithmetic hold 64 bits; JSON has no limit.
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_Int64 = Annotated[int, Meta(ge=_INT_MIN, le=_INT_MAX)]
_SCALAR: Any = None | bool | _Int64 | float | str


def _value_type(depth: int) -> Any:
    # Written out level by level the decoder itself enforces the depth, at no cost.
    value: Any = _SCALAR
    for _ in range(depth):
        value = _SCALAR | GenericAlias(list, (value,)) | GenericAlias(dict, (str, value))
    return value


_WRITTEN_OUT: Final = 7
"""Levels for which that is done: each doubles what the decoder is built of. What lies deeper
is rare, and is decoded again and walked."""
# The message is the first level, an object field the second.
_Object: Any = GenericAlias(dict, (str, _value_type(_WRITTEN_OUT - 2))) | None
# Ids become text, so that a number of any length does; a label is kept as it came.
_Text = str | int | float | None
_Label = str | _Int64 | float | None


class _Message(msgspec.Struct, kw_only=True, gc=False, rename="camel"):
    type: str | None = None
    user_id: _Text = None
    anonymous_id: _Text = None
    message_id: _Text = None
    previous_id: _Text = None
    group_id: _Text = None
    event: str | None = None
    name: _Label = None
    category: _Label = None
    properties: _Object = None
    traits: _Object = None
    context: _Object = None
    timestamp: _Text = None
    original_timestamp: _Text = None
    sent_at: _Text = None


class _DeepMessage(_Message, kw_only=True, gc=False, rename="camel"):
    """Of any depth: for a value that was walked before."""

    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None


_message_decoder: Final = msgspec.json.Decoder(_Message)
_deep_message_decoder: Final = msgspec.json.Decoder(_DeepMessage)
_object_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(_Object)
_deep_object_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(dict[str, Any] | None)
_skim: Final = msgspec.json.Decoder(msgspec.Raw).decode
_TOO_DEEP_MARK: Final = "Expected `bool | int | float | str | null`, got"
_RANGE_MARKS: Final = ("out of range", "Expected `int` <=", "Expected `int` >=")
_NUL_ESCAPE: Final = b"\\u0000"


def parse_message(
    raw: bytes | msgspec.Raw,
    *,
    received_at: Micros | None,
    sent_at: Micros | None = None,
    implied_type: str | None = None,
) -> Event:
    """Read one message into the normal form.

    `received_at` is the stamp of ingest or Kafka's timestamp; None replays history: the
    message's own timestamp is its receipt, and no clock is corrected. `sent_at` is the
    batch's and goes before the message's own. `implied_type` stands for a missing type
    (`/v1/track`). The same arguments give the same event, ids included.

    Raises:
        Malformed: the message can never be an event; the code says why.
    """
    body = raw if isinstance(raw, bytes) else bytes(raw)
    if len(body) > EVENT_BYTES_MAX:
        raise Malformed("event_too_large", f"an event has at most {EVENT_BYTES_MAX} bytes")
    message = _decoded(body, _message_decoder, _deep_message_decoder)
    if _NUL_ESCAPE in body and _holds_nul(message):
        raise _nul()

    kind = TRACK
    if message.type != TRACK or implied_type is not None:
        kind = _type_of(message, implied_type)
    user_id = _identifier(message.user_id, "userId")
    label = message.anonymous_id
    anonymous_id = None if label is None else _identifier(label, "anonymousId")
    person = user_id or anonymous_id
    if person is None:
        raise Malformed("missing_identity", "userId or anonymousId is needed")

    claimed_at = _claimed_at(message)
    if received_at is None:
        if claimed_at is None:
            raise Malformed("missing_timestamp", "a replayed event needs its timestamp")
        received_at = occurred_at = claimed_at
    else:
        occurred_at = _corrected(message, claimed_at, received_at, sent_at)

    message_id = _identifier(message.message_id, "messageId", MESSAGE_ID_CHARS_MAX)
    if message_id is None:
        message_id = _derived_id(body, None if claimed_at is not None else received_at)

    name = _name_of(message, kind)
    if kind == TRACK:
        # Nearly all are: none of what follows concerns them.
        return Event(
            person=person,
            type=TRACK,
            name=name,
            message_id=message_id,
            occurred_at=occurred_at,
            received_at=received_at,
            properties=message.properties or {},
            context=message.context or {},
            user_id=user_id,
            anonymous_id=anonymous_id,
        )
    return Event(
        person=person,
        type=kind,
        name=name,
        message_id=message_id,
        occurred_at=occurred_at,
        received_at=received_at,
        properties=_properties_of(message, kind),
        traits=_traits_of(message, kind),
        context=message.context or {},
        user_id=user_id,
        anonymous_id=anonymous_id,
        previous_id=_previous_id(message, kind),
        group_id=_group_id(message, kind),
    )


def parse_context(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Read the context that a batch gives to each of its messages; null is empty.

    Raises:
        Malformed: with the same codes as a message's own context.
    """
    body = raw if isinstance(raw, bytes) else bytes(raw)
    context: dict[str, Any] = _decoded(body, _object_decoder, _deep_object_decoder) or {}
    if _NUL_ESCAPE in body and _holds_nul(context):
        raise _nul()
    return context


def _decoded(body: bytes, decoder: msgspec.json.Decoder[T], deep: msgspec.json.Decoder[Any]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        if not str(error).startswith(_TOO_DEEP_MARK):
            raise _refusal(body, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json() from error
    except RecursionError as error:
        raise _too_deep() from error
    value: T = _decoded_deep(body, deep)
    return value


def _decoded_deep(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refusal(body, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json() from error
    except RecursionError as error:
        raise _too_deep() from error
    objects = (
        (value.properties, value.traits, value.context)
        if isinstance(value, _DeepMessage)
        else (value,)
    )
    for one in objects:
        # The message is the first level.
        _walk(one, EVENT_DEPTH_MAX - 1)
    return value


def _walk(value: Any, levels: int) -> None:
    """Refuse what nests deeper, and integers that 64 bits do not hold."""
    if isinstance(value, dict | list):
        if levels == 0:
            raise _too_deep()
        for part in value.values() if isinstance(value, dict) else value:
            _walk(part, levels - 1)
    elif isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        raise _out_of_range()


def _refusal(body: bytes, problem: str) -> Malformed:
    # The decoder stops at the first wrong value and may not have seen broken text after it.
    try:
        _skim(body)
    except msgspec.DecodeError:
        return _not_json()
    except RecursionError:
        return _too_deep()
    if any(mark in problem for mark in _RANGE_MARKS):
        return _out_of_range()
    # The decoder names types and its own field names, never a value or a key of the input.
    return Malformed("bad_field", problem)


def _out_of_range() -> Malformed:
    return Malformed("number_out_of_range", "numbers are 64-bit integers or finite doubles")


def _not_json() -> Malformed:
    return Malformed("bad_json", "not JSON text in UTF-8")


def _nul() -> Malformed:
    return Malformed("nul_character", "U+0000 cannot be stored; leave it out")


def _too_deep() -> Malformed:
    return Malformed("too_deep", f"values nest at most {EVENT_DEPTH_MAX} levels")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any("\x00" in key or _holds_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    if isinstance(value, _Message):
        return any(_holds_nul(getattr(value, name)) for name in value.__struct_fields__)
    return False


def _type_of(message: _Message, implied_type: str | None) -> str:
    kind = message.type or implied_type
    if kind is None:
        raise Malformed("missing_type", "type is needed: track, identify, page, …")
    if kind not in EVENT_TYPES:
        raise Malformed("unknown_type", "type is none of " + ", ".join(sorted(EVENT_TYPES)))
    if implied_type is not None and kind != implied_type:
        raise Malformed("type_mismatch", "type differs from the path it was sent to")
    return kind


def _identifier(value: str | float | None, field: str, most: int = PERSON_CHARS_MAX) -> str | None:
    """Text of an id; None for what is absent, null or blank."""
    if value is None:
        return None
    if not isinstance(value, str):
        value = _number_text(value)
    if len(value) > most:
        raise Malformed("id_too_long", f"{field} has at most {most} characters")
    return None if not value or value.isspace() else value


def _number_text(value: float) -> str:
    # 42 and 42.0 are the same number in JSON, so they have to be the same person.
    if isinstance(value, float) and value.is_integer() and abs(value) < _FLOAT_EXACT_MAX:
        value = int(value)
    return str(value)


def _claimed_at(message: _Message) -> Micros | None:
    # SDKs that send both write the client's time into originalTimestamp.
    value = message.original_timestamp
    if value is None or value == "":
        value = message.timestamp
    return None if value is None or value == "" else parse_timestamp(value)


def _corrected(
    message: _Message, claimed_at: Micros | None, received_at: Micros, sent_at: Micros | None
) -> Micros:
    """Segment's rule for clients whose clock is wrong: received_at - (sent_at - original)."""
    if not TIMESTAMP_MIN <= received_at < TIMESTAMP_MAX:
        raise Malformed("timestamp_out_of_range", "the record's own timestamp is out of range")
    if claimed_at is None:
        return received_at
    if sent_at is None and message.sent_at is not None:
        sent_at = parse_sent_at(message.sent_at)
    if sent_at is None:
        return claimed_at
    at = received_at - (sent_at - claimed_at)
    if not TIMESTAMP_MIN <= at < TIMESTAMP_MAX:
        raise Malformed("timestamp_out_of_range", "sentAt and timestamp lie too far apart")
    return at


def _derived_id(body: bytes, received_at: Micros | None) -> str:
    """Name a message that came without an id after its bytes.

    With a timestamp, the same bytes are the same happening, so a retry is recognised.
    Without one, two presses of a button look alike: the time of receipt keeps them apart.
    """
    digest = blake2b(body, digest_size=16)
    if received_at is not None:
        digest.update(received_at.to_bytes(8, "big"))
    return "derived-" + digest.hexdigest()


def _name_of(message: _Message, kind: str) -> str:
    if kind != TRACK:
        return RESERVED_NAMES[kind]
    name = message.event
    if not name or name.isspace():
        raise Malformed("missing_event", "a track call needs the name of its event")
    if len(name) > EVENT_NAME_CHARS_MAX:
        raise Malformed("event_name_too_long", f"event has at most {EVENT_NAME_CHARS_MAX} chars")
    if name in _RESERVED:
        raise Malformed("reserved_event", "this name is kept for calls that are not track")
    return name


_RESERVED: Final = frozenset((*RESERVED_NAMES.values(), *GROUP_EVENTS))


def _properties_of(message: _Message, kind: str) -> dict[str, Any]:
    properties: dict[str, Any] = message.properties or {}
    if kind in (PAGE, SCREEN):
        # They stand beside the properties on the wire; conditions look in one place.
        if message.name is not None:
            properties.setdefault("name", message.name)
        if message.category is not None:
            properties.setdefault("category", message.category)
    return properties


def _traits_of(message: _Message, kind: str) -> dict[str, Any]:
    if kind == IDENTIFY and not message.traits and message.context:
        # RudderStack's SDKs send the traits of an identify call in its context.
        traits = message.context.get("traits")
        return traits if isinstance(traits, dict) else {}
    return message.traits or {} if kind in (IDENTIFY, GROUP) else {}


def _required(value: str | float | None, field: str, code: str) -> str:
    text = _identifier(value, field)
    if text is None:
        raise Malformed(code, f"{field} is needed here")
    return text


def _previous_id(message: _Message, kind: str) -> str | None:
    if kind != ALIAS:
        return None
    return _required(message.previous_id, "previousId", "missing_previous_id")


def _group_id(message: _Message, kind: str) -> str | None:
    return _required(message.group_id, "groupId", "missing_group_id") if kind == GROUP else None
