"""The send command: the engine asks the dispatcher to act, once."""

from hashlib import sha1
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from services.contracts.time import Micros

SEND_NAMESPACE: Final = UUID("6f9c1f0e-3d0b-5f0a-9c57-2f0b1a7c8e11")
_NAMESPACE_BYTES: Final = SEND_NAMESPACE.bytes

Lane = Literal["transactional", "high", "normal"]
WhenUnknown = Literal["at_most_once", "at_least_once"]
"""What follows where a provider fell silent and knows no idempotency key: the send is left as
ambiguous, or sent again though it may arrive twice."""


class NotBetween(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One window of quiet hours as it binds one send: no attempt from `start` to `end` (HH:MM)
    in `zone` (an IANA name); over midnight where `start` is later."""

    start: str
    end: str
    zone: str


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to say: Liquid templates rendered by the dispatcher with the command's variables.

    `html` is a mail's body once more as HTML; values put into it are escaped.
    """

    subject: str = ""
    body: str = ""
    html: str = ""


class SendCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One effect to perform on one channel for one person: a message, an offer or a task.

    `send_id` is the idempotency key end to end (see `send_id`). `decided_at` and
    `expires_at` are engine time in microseconds; past `expires_at` nothing may be sent.
    `origin_received_at` is the `received_at` of the event that caused it, for latency.
    `to` is the person's address on the channel, None where the person has none. `request`
    says of an offer its `kind`, `reference` and `amount`, of a handoff `to` whom.
    `when_unknown` None leaves that choice to the dispatcher's settings. `not_between` are the
    quiet hours to keep at each attempt, however late it comes; windows add up. `template` and
    its version say where `content` was taken from. `test`: somebody tries a draft out on a test
    person; no cap counts it and no decision stands behind it.
    """

    v: int = 1
    send_id: str
    workspace: str
    person: str
    trigger: str
    trigger_version: int
    run_id: str
    step: int
    event_id: str
    channel: str
    category: str
    priority: int
    lane: Lane = "normal"
    to: str | None = None
    endpoint: str | None = None
    content: Content = Content()
    kind: Literal["send", "offer", "handoff"] = "send"
    request: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    decided_at: Micros
    origin_received_at: Micros
    expires_at: Micros | None = None
    when_unknown: WhenUnknown | None = None
    not_between: tuple[NotBetween, ...] = ()
    template: str | None = None
    template_version: int | None = None
    test: bool = False


def is_urgent(command: SendCommand) -> bool:
    """Whether it is not in the normal lane: it stands on `urgent-commands`."""
    return command.lane != "normal"


class Cancel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Take back what has not been sent: record `cancel/1` on `commands`, keyed by person.

    Names one send by `send_id`, or by `run_id` every send of a run, those included whose
    commands come after it. What is accepted already stays so; a send taken back is answered
    with the delivery `failed` and the reason `cancelled`. Repeating it changes nothing.
    """

    v: int = 1
    person: str
    run_id: str | None = None
    send_id: str | None = None
    reason: str = ""
    decided_at: Micros


class Moved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a person is now: record `moved/1` on `commands`, keyed by `person`.

    From `at` on they are `into`, who has everything of theirs; `into` is `person` where they
    are somebody of their own again. Of two of one person the later holds. Repeating it changes
    nothing.
    """

    v: int = 1
    person: str
    into: str
    at: Micros


class Erased(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom to forget: record `erased/1` on `commands`, keyed by person, and on `profiles`.

    What is known of them up to here goes; what has not been sent is not sent any more. `request`
    is the erasure's, for the receipt. Repeating it changes nothing.
    """

    v: int = 1
    person: str
    request: str
    at: Micros


def _name(*parts: str) -> str:
    # Lengths keep ("a", "b\x1fc") and ("a\x1fb", "c") apart: ids may hold any character.
    return "".join([f"{len(part)}:{part}" for part in parts])


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(SEND_NAMESPACE, name))` in a third of its time: two for each send."""
    digits = sha1(_NAMESPACE_BYTES + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def run_id(workspace: str, trigger: str, person: str, entry_event_id: str) -> str:
    """Name a run after what started it, so that deciding again names it the same."""
    return _uuid5(_name(workspace, trigger, person, entry_event_id))


def send_id(workspace: str, trigger: str, person: str, run: str, step: int) -> str:
    """UUIDv5 of workspace, trigger, person, run and step (RFC 9562 section 5.5)."""
    return _uuid5(_name(workspace, trigger, person, run, str(step)))
