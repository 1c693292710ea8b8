"""From a record of `commands` to a ledger entry, and from an entry's bytes to a message."""

from collections.abc import Collection
from functools import lru_cache
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from services.contracts.codec import decode_json
from services.contracts.command import Cancel, Moved, NotBetween, SendCommand
from services.contracts.errors import Malformed
from services.contracts.event import PERSON_CHARS_MAX
from services.contracts.time import Micros
from services.dispatcher.addresses import digest_of
from services.dispatcher.channels.port import Message
from services.dispatcher.ledger import NewSend
from services.dispatcher.links import Links
from services.dispatcher.policy import RANKS, queue_of
from services.runtime.templates import render

NAME_CHARS_MAX: Final = 256
INSTANT_MAX: Final[Micros] = 253_402_300_800 * 1_000_000
"""The year 10000, where calendars of the standard library end."""

NOBODY: Final = ""
"""The queue of commands whose channel or endpoint no setting names."""

ZONES_CACHED_MAX: Final = 1024
WINDOWS_MAX: Final = 24
"""Windows of quiet hours that a command may bear."""
_MAIL: Final = "mail"

_decoder: Final = msgspec.json.Decoder(SendCommand)
_cancel_decoder: Final = msgspec.json.Decoder(Cancel)
_moved_decoder: Final = msgspec.json.Decoder(Moved)


def decode_command(value: bytes) -> SendCommand:
    """Decode and check what a schema cannot say.

    Raises:
        Malformed: `bad_command` or `newer_schema`.
    """
    command = decode_json(value, _decoder, "command")
    if not _is_canonical_uuid(command.send_id):
        raise Malformed("bad_command", "send_id is no UUID in canonical form")
    if not 0 < len(command.person) <= PERSON_CHARS_MAX:
        raise Malformed("bad_command", "person is empty or too long")
    texts = (command.person, command.trigger, command.channel, command.endpoint or "")
    if any("\0" in part or len(part) > NAME_CHARS_MAX for part in texts):
        raise Malformed("bad_command", "a name is too long or holds NUL")
    instants = (command.decided_at, command.expires_at or 0)
    if not all(0 <= at < INSTANT_MAX for at in instants):
        raise Malformed("bad_command", "an instant lies outside the years 1970 to 9999")
    if len(command.not_between) > WINDOWS_MAX or not all(map(_is_window, command.not_between)):
        raise Malformed("bad_command", "not_between has too many, or an unknown time or zone")
    return command


def decode_cancel(value: bytes | None) -> Cancel:
    """Decode and check a record of kind `cancel/1`.

    Raises:
        Malformed: `bad_cancel` or `newer_schema`.
    """
    if value is None:
        raise Malformed("bad_cancel", "the record has no value")
    cancel = decode_json(value, _cancel_decoder, "cancel")
    names = [name for name in (cancel.run_id, cancel.send_id) if name is not None]
    if len(names) != 1 or not _is_canonical_uuid(names[0]):
        raise Malformed("bad_cancel", "names not one run or one send by its UUID")
    if not 0 < len(cancel.person) <= PERSON_CHARS_MAX or "\0" in cancel.person:
        raise Malformed("bad_cancel", "person is empty, too long or holds NUL")
    return cancel


def decode_moved(value: bytes | None) -> Moved:
    """Decode and check a record of kind `moved/1`.

    Raises:
        Malformed: `bad_moved` or `newer_schema`.
    """
    if value is None:
        raise Malformed("bad_moved", "the record has no value")
    moved = decode_json(value, _moved_decoder, "moved")
    for name in (moved.person, moved.into):
        if not 0 < len(name) <= PERSON_CHARS_MAX or "\0" in name:
            raise Malformed("bad_moved", "a person is empty, too long or holds NUL")
    if not 0 <= moved.at < INSTANT_MAX:
        raise Malformed("bad_moved", "an instant lies outside the years 1970 to 9999")
    return moved


def decode_known(value: bytes) -> SendCommand:
    """Decode what stands in the ledger: `decode_command` has checked it once."""
    return _decoder.decode(value)


def read_command(
    value: bytes | None, *, partition: int, offset: int, queues: Collection[str]
) -> NewSend:
    """The ledger entry for a record's value; `queues` are the ones somebody serves.

    Raises:
        Malformed: see `decode_command`.
    """
    if value is None:
        raise Malformed("bad_command", "the record has no value")
    command = decode_command(value)
    queue = queue_of(command)
    return NewSend(
        send_id=command.send_id,
        person=command.person,
        trigger=command.trigger,
        channel=command.channel,
        queue=queue if queue in queues else NOBODY,
        rank=RANKS[command.lane],
        command=value,
        source_partition=partition,
        source_offset=offset,
        decided_at=command.decided_at,
        # A run of another naming cannot be cancelled, which is no reason not to send.
        run_id=command.run_id if _is_canonical_uuid(command.run_id) else None,
        expires_at=command.expires_at,
        address=_address_of(command),
    )


def compose(command: SendCommand, links: Links | None = None) -> Message:
    """Render the command's templates; with `links` they may use `unsubscribe_url`.

    Raises:
        Malformed: `template_error`.
    """
    content, variables = command.content, command.variables
    if links is not None and "unsubscribe_url" in content.subject + content.body + content.html:
        variables = {**variables, "unsubscribe_url": links.unsubscribe(command)}
    return Message(
        send_id=command.send_id,
        workspace=command.workspace,
        person=command.person,
        trigger=command.trigger,
        trigger_version=command.trigger_version,
        run_id=command.run_id,
        step=command.step,
        category=command.category,
        channel=command.channel,
        to=command.to,
        subject=render(content.subject, variables),
        body=render(content.body, variables),
        html=render(content.html, variables, html=True),
        kind=command.kind,
        request=command.request,
        variables=command.variables,
        decided_at=command.decided_at,
        expires_at=command.expires_at,
    )


def _address_of(command: SendCommand) -> bytes | None:
    """The digest of the address, where what comes back does not name it for certain."""
    if command.channel != _MAIL or command.to is None:
        return None
    return digest_of(command.channel, command.to)


def _is_window(window: NotBetween) -> bool:
    return _is_clock(window.start) and _is_clock(window.end) and _is_zone(window.zone)


def _is_canonical_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


@lru_cache(maxsize=ZONES_CACHED_MAX)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _is_clock(text: str) -> bool:
    hour, colon, minute = text[:2], text[2:3], text[3:]
    digits = hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit()
    return len(text) == 5 and colon == ":" and digits and hour < "24" and minute < "60"
