"""What comes back of a send: receipts become events of the person, on the person's own log.

A receipt travels as `pack/1`, like events that ingest takes: the engine sees a click as it
sees a purchase. Names are those of Segment's e-mail specification, for other channels alike.
"""

import hashlib
from typing import Any, Final, Literal, Protocol

import msgspec
from aiokafka import AIOKafkaProducer

from services.contracts.codec import encode_pack
from services.contracts.errors import Transient
from services.contracts.event import IDENTIFY, RESERVED_NAMES, TRACK, Event
from services.contracts.metrics import RECEIPTS
from services.contracts.time import MINUTE, Micros
from services.contracts.topics import EVENTS, KIND_HEADER, KIND_PACK
from services.dispatcher.links import Link
from services.runtime.clock import Clock
from services.runtime.kafka import KAFKA_ERRORS, partition_of, topic_name
from services.runtime.metrics import Metrics
from services.runtime.settings import KafkaSettings

REASON_CHARS_MAX: Final = 200

Kind = Literal["delivered", "bounced", "opened", "clicked", "complained", "unsubscribed"]
KINDS: Final[dict[Kind, str]] = {
    "delivered": "Delivered",
    "bounced": "Bounced",
    "opened": "Opened",
    "clicked": "Link Clicked",
    "complained": "Marked as Spam",
    "unsubscribed": "Unsubscribed",
}
REFUSALS: Final = frozenset({"unsubscribed", "complained"})
"""By these the person takes consent back."""
_LABELS: Final = {
    "mail": "Email",
    "sms": "SMS",
    "push": "Push Notification",
    "wecom": "WeCom Message",
    "inbox": "Inbox Message",
}


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one send, and whose it was.

    `everything`: the person wants no marketing at all, not only none on this channel.
    """

    kind: Kind
    sent: Link
    url: str = ""
    reason: str = ""
    everything: bool = False


class States(Protocol):
    """Where the state of a send is kept."""

    async def receipt(
        self, send_id: str, state: Literal["delivered", "bounced"], *, reason: str, at: Micros
    ) -> bool:
        """Note what became of it; raises `Transient` while that cannot be kept."""


class Waiting(Protocol):
    """Where sends wait."""

    async def withdraw(self, person: str, channel: str | None, *, at: Micros) -> int:
        """Take back a person's marketing on a channel, None for all; raises `Transient`."""


class EventLog(Protocol):
    """Where events go."""

    async def append(self, person: str, events: list[Event]) -> None:
        """Write a person's events, together; raises `Transient` where that is not certain."""


class KafkaEvents:
    """The topic of events; the producer belongs to the process."""

    def __init__(self, producer: AIOKafkaProducer, settings: KafkaSettings) -> None:
        self._producer = producer
        self._topic = topic_name(settings, EVENTS)

    async def append(self, person: str, events: list[Event]) -> None:
        """See `EventLog.append`."""
        key = person.encode()
        try:
            count = len(await self._producer.partitions_for(self._topic))
            await self._producer.send_and_wait(
                self._topic,
                encode_pack(events),
                key=key,
                partition=partition_of(key, count),
                headers=[(KIND_HEADER, KIND_PACK)],
            )
        except KAFKA_ERRORS as error:
            raise Transient(f"receipt not written: {type(error).__name__}") from error


class Receipts:
    """Takes receipts from all doors. Until `attach` nothing can be taken."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._counter = metrics.counter(RECEIPTS)
        self._log: EventLog | None = None
        self._states: States | None = None
        self._waiting: Waiting | None = None

    def attach(
        self, log: EventLog, states: States | None = None, waiting: Waiting | None = None
    ) -> None:
        """There is a log to write to, and a ledger that keeps states and what waits."""
        self._log = log
        self._states = states
        self._waiting = waiting

    async def take(self, receipt: Receipt) -> None:
        """Return once the receipt stands in the person's log.

        Raises:
            Transient: it does not, for now; whoever tells of it should tell again.
        """
        if self._log is None:
            raise Transient("not connected yet")
        now = self._clock.stamp(None)
        kind, send_id = receipt.kind, receipt.sent.send_id
        if self._states is not None and (kind == "delivered" or kind == "bounced"):
            reason = _short(receipt.reason)
            await self._states.receipt(send_id, kind, reason=reason, at=now)
        events = events_of(receipt, now)
        await self._log.append(receipt.sent.person, events)
        if self._waiting is not None and kind in REFUSALS:
            channel = None if receipt.everything else receipt.sent.channel
            await self._waiting.withdraw(receipt.sent.person, channel, at=now)
        self._counter.labels(kind=receipt.kind, channel=receipt.sent.channel).inc()


def events_of(receipt: Receipt, now: Micros) -> list[Event]:
    """The events of a receipt at `now`; told again, they have the same message ids.

    A send is delivered, bounced or opened once; the same link counts once a minute, so that a
    scanner or an impatient finger is no crowd.
    """
    sent, kind = receipt.sent, receipt.kind
    mark: str = kind
    if kind == "clicked":
        digest = hashlib.blake2b(receipt.url.encode(), digest_size=8).hexdigest()
        mark = f"{kind}:{digest}:{now // MINUTE}"
    elif kind == "unsubscribed":
        # Who came back in between may go again, by the link of the same mail.
        mark = f"{kind}:{now // MINUTE}"
    properties: dict[str, Any] = {
        "send_id": sent.send_id,
        "trigger": sent.trigger,
        "channel": sent.channel,
        "category": sent.category,
    }
    if receipt.url:
        properties["url"] = receipt.url
    if receipt.reason:
        properties["reason"] = _short(receipt.reason)
    events = [
        _event(sent, TRACK, name_of(kind, sent.channel), f"{sent.send_id}:{mark}", now, properties)
    ]
    if kind in REFUSALS:
        refused = "marketing" if receipt.everything else sent.channel
        answer = _event(
            sent, IDENTIFY, RESERVED_NAMES[IDENTIFY], f"{sent.send_id}:{mark}:{refused}", now, {}
        )
        events.append(msgspec.structs.replace(answer, traits={"consent": {refused: False}}))
    return events


def name_of(kind: Kind, channel: str) -> str:
    """Name of the event, such as `Email Link Clicked`; `Unsubscribed` is one for all."""
    if kind == "unsubscribed":
        return KINDS[kind]
    return f"{_LABELS.get(channel, 'Message')} {KINDS[kind]}"


def _event(
    sent: Link, kind: Any, name: str, message_id: str, now: Micros, properties: dict[str, Any]
) -> Event:
    return Event(
        person=sent.person,
        type=kind,
        name=name,
        message_id=message_id,
        occurred_at=now,
        received_at=now,
        properties=properties,
    )


def _short(reason: str) -> str:
    return reason.replace("\0", "")[:REASON_CHARS_MAX]
