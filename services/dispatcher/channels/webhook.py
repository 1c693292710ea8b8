"""The webhook channel: one signed HTTP request a send, after Standard Webhooks 1.0."""

import ssl
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec
from yarl import URL

from services.contracts.time import from_micros
from services.dispatcher.channels.outgoing import Outgoing, Reply
from services.dispatcher.channels.port import Accepted, Message, Outcome
from services.dispatcher.signing import signatures

_encode: Final = msgspec.json.Encoder().encode


class WebhookChannel:
    """Posts to one endpoint: messages, offers and handoffs, told apart by `type`.

    The receiver drops repeats by `webhook-id`, our `send_id`; `idempotency-key` says the
    same to those who know that header. While a secret is being replaced there are two
    `keys`, and each request carries a signature of each.
    """

    idempotent: Final = True

    def __init__(
        self,
        *,
        url: str,
        keys: Sequence[bytes],
        timeout_seconds: float,
        private_allowed: bool,
        connections_max: int,
        tls_context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = URL(url, encoded=True)
        self._keys = tuple(keys)
        self._now = now
        self._outgoing = Outgoing(
            timeout_seconds=timeout_seconds,
            private_allowed=private_allowed,
            connections_max=connections_max,
            tls_context=tls_context,
        )

    async def send(self, message: Message) -> Outcome:
        """2xx accepted; 408, 425, 429 and 5xx delayed; anything else refused."""
        body = _encode(_payload(message))
        send_id, timestamp = message.send_id, int(self._now())
        headers = {
            "content-type": "application/json",
            "idempotency-key": send_id,
            "webhook-id": send_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._keys, send_id, timestamp, body),
        }
        reply = await self._outgoing.request(
            "POST", self._url, headers=headers, body=body, body_wanted=False
        )
        if not isinstance(reply, Reply):
            return reply
        return reply.trouble(repeatable=True) or Accepted()

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()


def _payload(message: Message) -> dict[str, object]:
    moment: datetime = from_micros(message.decided_at)
    return {"type": message.kind, "timestamp": moment.isoformat(), "data": message}
