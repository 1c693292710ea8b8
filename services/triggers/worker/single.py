"""Records about one person that only we write: deliveries, erasures, hops of a merge."""

from typing import Any

from services.contracts.codec import (
    decode_answer,
    decode_ask,
    decode_delivery,
    decode_erase,
    decode_forward,
)
from services.contracts.control import Answer, Ask, Forward
from services.contracts.time import Micros
from services.contracts.topics import (
    KIND_ANSWER,
    KIND_ASK,
    KIND_DELIVERY,
    KIND_ERASE,
    KIND_FORWARD,
)
from services.triggers.worker.engine_port import Act, Engine
from services.triggers.worker.reading import Record, check_person, value_of

Hop = Ask | Answer | Forward


def read_single(kind: bytes, record: Record, engine: Engine) -> tuple[Act, Any, Micros]:
    """What to call for a record of these kinds, with what, and when that was received.

    A hop was received when it was made: that is the time of its maker's log.

    Raises:
        Malformed: it is not of its kind, or it names somebody who can be nobody.
    """
    value = value_of(record)
    if kind == KIND_DELIVERY:
        delivery = decode_delivery(value)
        return engine.apply_delivery, delivery, delivery.received_at
    if kind == KIND_ERASE:
        erase = decode_erase(value)
        return engine.apply_erase, erase, erase.at
    hop: Hop
    if kind == KIND_ASK:
        act, hop = engine.apply_ask, decode_ask(value)
    elif kind == KIND_ANSWER:
        act, hop = engine.apply_answer, decode_answer(value)
    else:
        act, hop = engine.apply_forward, decode_forward(value)
    # What is sent back to them, or remembered of them, must have somewhere to go.
    check_person(hop.by if isinstance(hop, Ask) else hop.source, None)
    return act, hop, hop.at


def kind_of_hop(hop: Hop) -> bytes:
    """The record's kind."""
    if isinstance(hop, Ask):
        return KIND_ASK
    return KIND_ANSWER if isinstance(hop, Answer) else KIND_FORWARD


def made_by(hop: Hop) -> str:
    """The person in whose log it was made; `hop.person` is the one it goes to."""
    if isinstance(hop, Ask):
        return hop.by if hop.source is None else hop.source
    return hop.source
