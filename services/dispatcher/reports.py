"""What a finished send says to the rest of the world."""

from typing import Final

from services.contracts.command import is_urgent
from services.contracts.deadletter import DeadLetter
from services.contracts.delivery import Delivery
from services.dispatcher.commands import decode_known
from services.dispatcher.ledger import Finished
from services.dispatcher.policy import TAKEN, SendState

ORIGIN: Final = "dispatcher"
CODES: Final = frozenset(
    {"exhausted", "expired", "quarantined", "template_error", "unknown_channel"}
)
"""Beginnings of reasons that are codes of their own in the metrics."""


def delivery_of(finished: Finished) -> Delivery | None:
    """The delivery event; none for an ambiguous send.

    `failed` would release a cap's reservation for a message that may have arrived, and
    `accepted` would be untrue. Silence leaves the reservation where it is, until it leaves
    the cap's window.
    """
    if finished.state is SendState.AMBIGUOUS:
        return None
    return Delivery(
        send_id=finished.send_id,
        person=finished.person,
        trigger=finished.trigger,
        channel=finished.channel,
        status="accepted" if finished.state in TAKEN else "failed",
        attempts=finished.attempts,
        received_at=finished.finished_at,
        reason=finished.reason,
    )


def letter_of(finished: Finished, *, topics: tuple[str, str]) -> DeadLetter | None:
    """The dead letter of a send that failed or stayed ambiguous, with the command's bytes.
    `topics`: where commands of the normal lane stand, and where the others.

    None where it was accepted or taken back, or where the letter has been acknowledged before.
    """
    if finished.state in TAKEN or finished.command is None:
        return None
    if finished.state is SendState.FAILED and finished.reason == "cancelled":
        return None
    return DeadLetter(
        code=code_of(finished),
        reason=finished.reason or "",
        origin=ORIGIN,
        topic=topics[is_urgent(decode_known(finished.command))],
        partition=finished.source_partition,
        offset=finished.source_offset,
        at=finished.finished_at,
        key=finished.person.encode(),
        value=finished.command,
    )


def code_of(finished: Finished) -> str:
    """A code out of a short list: `ambiguous`, one of `CODES`, else `refused`."""
    if finished.state is SendState.AMBIGUOUS:
        return "ambiguous"
    code = (finished.reason or "").partition(":")[0]
    return code if code in CODES else "refused"
