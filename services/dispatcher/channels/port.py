"""The channel port: what an adapter to a provider has to be."""

from typing import Any, Literal, Protocol

import msgspec

from services.contracts.time import Micros


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One rendered send. `send_id` is a canonical UUID, safe in headers and file names.

    `to`, `subject`, `body`, `html` and `variables` are personal data: no channel may log
    them. `kind` and `request` are those of the command; `html` is the body once more for
    channels that show HTML, empty where there is none.
    """

    send_id: str
    workspace: str
    person: str
    trigger: str
    trigger_version: int
    run_id: str
    step: int
    category: str
    channel: str
    to: str | None
    subject: str
    body: str
    html: str = ""
    kind: Literal["send", "offer", "handoff"] = "send"
    request: dict[str, Any] = {}
    variables: dict[str, Any]
    decided_at: Micros
    expires_at: Micros | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The provider took the message; `provider_id` is its own name for it, if it gave one."""

    provider_id: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No effect, and none will come of trying again (a wrong address, a refused body).

    `about_address`: it is the address that is wrong (no such mailbox, number or device), not
    the message. Addresses refused again and again are spared further attempts.
    """

    reason: str
    about_address: bool = False


class Delayed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No effect yet; trying again may help, not before `retry_after_seconds` if given."""

    reason: str
    retry_after_seconds: float | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The provider may or may not have acted: the connection broke after the message left."""

    reason: str


Outcome = Accepted | Refused | Delayed | Unknown


class Channel(Protocol):
    """One way of reaching people.

    `idempotent` says that sending the same `send_id` again has no second effect at the
    other end; only then is a send whose outcome is unknown tried again without asking.
    """

    @property
    def idempotent(self) -> bool:
        """Whether a repeated `send_id` is harmless."""

    async def send(self, message: Message) -> Outcome:
        """Perform the effect; bounded in time by the channel's own timeouts.

        Every trouble with the provider or the message is an `Outcome`, whose reason holds
        no personal data and no secret. An exception is a bug and stops the process.
        """

    async def close(self) -> None:
        """Release connections; no `send` may be under way."""
