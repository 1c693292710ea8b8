"""The body of a request to messages, each as the bytes it came in."""

import re
from typing import Any, Final

import msgspec

from services.contracts.errors import Malformed
from services.contracts.segment import parse_context
from services.contracts.time import Micros
from services.contracts.timestamp import parse_sent_at
from services.ingest.refusals import Refused

BATCH_CONTEXT_BYTES_MAX: Final = 8 * 1024
"""It is copied into every message of the batch."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that came together. `sent_at` corrects their clocks, `context` is shared."""

    messages: list[msgspec.Raw]
    sent_at: Micros | None = None
    write_key: str | None = None
    context: dict[str, Any] = {}


class _Envelope(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    sent_at: msgspec.Raw = msgspec.Raw(b"null")
    write_key: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")


class _KeyOnly(msgspec.Struct, rename="camel"):
    write_key: msgspec.Raw = msgspec.Raw(b"null")


class _IdOnly(msgspec.Struct, rename="camel"):
    message_id: str | None = None


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_key: Final = msgspec.json.Decoder(_KeyOnly).decode
_decode_id: Final = msgspec.json.Decoder(_IdOnly).decode
_decode_any: Final = msgspec.json.Decoder().decode

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},:]', re.DOTALL)
_CLOSES: Final = {b"]": b"[", b"}": b"{"}


def read_batch(body: bytes) -> Batch:
    """Read the body of `/v1/batch`.

    What is wrong inside one message is left for that message's own parsing, even where the
    whole is therefore no JSON text: Python's encoder writes NaN, and one such number must
    not take the other messages with it.

    Raises:
        Refused: 400, there is no batch to be read.
    """
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError as error:
        raise Refused(400, "bad_field", str(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        envelope = _salvaged(body, error)
    if len(bytes(envelope.context)) > BATCH_CONTEXT_BYTES_MAX:
        raise Refused(
            400,
            "context_too_large",
            f"a batch's context has at most {BATCH_CONTEXT_BYTES_MAX} bytes",
        )
    try:
        context = parse_context(envelope.context)
    except Malformed as error:
        raise Refused(400, error.code, f"context: {error.message}") from error
    return Batch(
        messages=envelope.batch,
        sent_at=parse_sent_at(_lenient(envelope.sent_at)),
        write_key=_text(envelope.write_key),
        context=context,
    )


def read_single(body: bytes) -> Batch:
    """The body of `/v1/track` and the like: one message, its write key beside its fields."""
    try:
        write_key = _text(_decode_key(body).write_key)
    except (msgspec.DecodeError, RecursionError):
        # The message's own parsing says what is wrong with it.
        write_key = None
    return Batch(messages=[msgspec.Raw(body)], write_key=write_key)


def message_id_of(raw: bytes | msgspec.Raw) -> str | None:
    """The id of a message that was refused, so far as it can be read."""
    try:
        return _decode_id(raw).message_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _lenient(raw: msgspec.Raw) -> object:
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(raw: msgspec.Raw) -> str | None:
    value = _lenient(raw)
    return value if isinstance(value, str) else None


def _salvaged(body: bytes, error: Exception) -> _Envelope:
    cut = _cut(body)
    if cut is not None:
        messages, rest = cut
        try:
            envelope = _decode_envelope(rest)
        except (msgspec.DecodeError, RecursionError):
            envelope = None
        if envelope is not None:
            envelope.batch = messages
            return envelope
    raise Refused(400, "bad_json", "not JSON text in UTF-8") from error


def _cut(body: bytes) -> tuple[list[msgspec.Raw], bytes] | None:
    """Cut the messages out of a batch by brackets and quotes alone, looking at nothing between.

    Gives them and the body with an empty batch, or None where the brackets don't add up.
    The cost is linear in the body.
    """
    messages: list[msgspec.Raw] = []
    first = last = start = 0
    open_brackets: list[bytes] = []
    key = text = b""
    for token in _TOKEN.finditer(body):
        symbol = token.group()
        depth = len(open_brackets)
        in_batch = first > last and depth == 2
        if symbol == b'"':
            return None
        if in_batch and symbol in (b",", b"]"):
            messages.append(msgspec.Raw(body[start : token.start()].strip()))
            start = token.end()
            last = token.start() if symbol == b"]" else last
        if symbol in (b"[", b"{"):
            open_brackets.append(symbol)
            if depth == 1 and key == b'"batch"' and symbol == b"[":
                if last:
                    return None
                first = start = token.end()
        elif symbol in _CLOSES:
            if not open_brackets or open_brackets.pop() != _CLOSES[symbol]:
                return None
        elif depth == 1:
            key, text = (text, text) if symbol == b":" else (key, symbol)
    if not last or open_brackets:
        return None
    return messages, body[:first] + body[last:]
