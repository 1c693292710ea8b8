"""Mail that came back: which send it was, and whether that was for good.

Reads delivery status notifications (RFC 3464) and what qmail and older Exim write in their own
words. Anybody can write to the address where they arrive, so nothing of it is believed but that
whoever wrote knows the id of the send, and what they say of that send alone.
"""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from typing import Final, Literal

import msgspec

NOTICE_BYTES_MAX: Final = 1024 * 1024
PARTS_MAX: Final = 50
TEXT_CHARS_MAX: Final = 64 * 1024
"""Of a text part: the status stands near its beginning, the copy's header right behind."""

SEND_HEADER: Final = "X-Cuestream-Send"
"""In each mail of ours: its send's id, for servers that give the message a name of their own."""

Grade = Literal["hard", "soft"]

_ADDRESS_STATUSES: Final = frozenset(
    {"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.0", "5.2.1"}
)
"""By these there is no such mailbox, or nobody reads it (RFC 3463, RFC 7505)."""
_FULL: Final = "5.2.2"
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MESSAGE_ID: Final = re.compile(rf"<({_UUID})@[^<>\s]{{1,255}}>")
_SEND: Final = re.compile(rf"\s*({_UUID})\s*")
_VERP: Final = re.compile(r"\+([0-9a-f]{32})@")
_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY: Final = re.compile(r"(?<![\d.])([45]\d\d)[ -]")
_COPY: Final = re.compile(
    r"^-+ *(?:Below this line|This) is a copy of (?:the|your) message[^\n]*", re.MULTILINE
)
_VERP_HEADERS: Final = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
_TROUBLE: Final = (MessageError, RecursionError, ValueError, LookupError, TypeError, AttributeError)
"""What the standard library raises at mail that is none."""


class Bounce(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that came back. `hard`: for good; `about_address`: there is no such mailbox.

    `status` is the code of RFC 3463, empty where none was given.
    """

    send_id: str
    grade: Grade
    status: str
    about_address: bool


def verp(address: str, send_id: str) -> str:
    """The envelope sender of a send, by which what comes back says which it was."""
    local, _, domain = address.rpartition("@")
    return f"{local}+{send_id.replace('-', '')}@{domain}"


def status_in(said: str) -> str:
    """The first enhanced code in a server's words, empty where there is none."""
    return _first(_STATUS, said)


def is_no_mailbox(status: str) -> bool:
    """Whether an enhanced code says that nobody is there, or reads it."""
    return status in _ADDRESS_STATUSES


def read_bounce(raw: bytes) -> Bounce | None:
    """What a message says of a send of ours; None where it is no notice of a bounce."""
    try:
        notice = message_from_bytes(raw[:NOTICE_BYTES_MAX])
        verdict = _verdict(notice)
        send_id = None if verdict is None else _send_id(notice)
    except _TROUBLE:
        return None
    if verdict is None or send_id is None:
        return None
    grade, status = verdict
    about_address = grade == "hard" and is_no_mailbox(status)
    return Bounce(send_id=send_id, grade=grade, status=status, about_address=about_address)


def _verdict(notice: Message) -> tuple[Grade, str] | None:
    """How it failed, by the worst that is said of a recipient (we write to one at a time)."""
    told = [
        verdict
        for part in _parts(notice)
        if part.get_content_type() == "message/delivery-status"
        for fields in _blocks(part)
        if (verdict := _of_recipient(fields)) is not None
    ]
    if told:
        return min(told, key=lambda one: one[0])  # hard before soft
    return _in_words(notice)


def _blocks(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    if isinstance(payload, list):
        yield from (one for one in payload if isinstance(one, Message))


def _of_recipient(fields: Message) -> tuple[Grade, str] | None:
    action = str(fields.get("Action", "")).strip().lower()
    if action not in ("failed", "delayed"):
        return None
    status = status_in(str(fields.get("Status", "")))
    said = str(fields.get("Diagnostic-Code", ""))
    # Some write 5.0.0 for all, and the other server's own words behind it.
    if status in ("", "5.0.0", "4.0.0"):
        status = _status_of(said) or status
    if action == "delayed" or status.startswith("4.") or status == _FULL:
        return "soft", status
    return "hard", status


def _in_words(notice: Message) -> tuple[Grade, str] | None:
    """qmail says what is the matter above a copy of the message, Exim of old likewise."""
    failed = notice.get("X-Failed-Recipients") is not None
    for text in _texts(notice):
        copy = _COPY.search(text)
        if copy is None or not (failed or "qmail-send program" in text[: copy.start()]):
            continue
        status = _status_of(text[: copy.start()])
        return ("soft" if status.startswith("4.") or status == _FULL else "hard"), status
    return None


def _status_of(said: str) -> str:
    """The enhanced code of a server's words, else what its reply code alone says."""
    status = status_in(said)
    if status:
        return status
    reply = _first(_REPLY, said)
    return {"550": "5.1.1", "551": "5.1.6", "552": _FULL, "553": "5.1.3"}.get(
        reply, f"{reply[0]}.0.0" if reply else ""
    )


def _send_id(notice: Message) -> str | None:
    """The address it came to, else what it gives back of the message, else what it answers."""
    for name in _VERP_HEADERS:
        digits = _first(_VERP, str(notice.get(name, "")))
        if digits:
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    for part in _parts(notice):
        if part is notice:
            continue
        found = _of_copy(part)
        if found:
            return found
    for text in _texts(notice):
        copy = _COPY.search(text)
        found = "" if copy is None else _first(_MESSAGE_ID, text[copy.end() :])
        if found:
            return found
    answers = f"{notice.get('In-Reply-To', '')} {notice.get('References', '')}"
    return _first(_MESSAGE_ID, answers) or None


def _of_copy(part: Message) -> str:
    if part.get_content_type() == "text/rfc822-headers":
        payload = part.get_payload(decode=True)
        part = message_from_bytes(payload if isinstance(payload, bytes) else b"")
    ours = _SEND.fullmatch(str(part.get(SEND_HEADER, "")))
    return ours[1] if ours else _first(_MESSAGE_ID, str(part.get("Message-ID", "")))


def _parts(notice: Message) -> Iterator[Message]:
    for number, part in enumerate(notice.walk()):
        if number >= PARTS_MAX:
            return
        yield part


def _texts(notice: Message) -> Iterator[str]:
    for part in _parts(notice):
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                text = payload.decode("utf-8", "replace")[:TEXT_CHARS_MAX]
                yield text.replace("\r\n", "\n")


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return "" if found is None else found[1]
