"""The delivery event: what became of a send command. It travels on `events`, keyed by person."""

from typing import Literal

import msgspec

from services.contracts.time import Micros

DeliveryStatus = Literal["accepted", "failed"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`accepted`: the provider took it, the cap's reservation commits. `failed`: the
    dispatcher gave up without acceptance, the reservation is released.

    `received_at` is the time it enters the person's log, in microseconds. Applying the same
    delivery twice changes nothing.
    """

    v: int = 1
    send_id: str
    person: str
    trigger: str
    channel: str
    status: DeliveryStatus
    attempts: int
    received_at: Micros
    reason: str | None = None
