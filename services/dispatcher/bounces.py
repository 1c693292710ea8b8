"""What a mail that came back leads to, and the folder in which a mail server may put it."""

import asyncio
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from services.contracts.errors import Transient
from services.contracts.metrics import BOUNCES
from services.dispatcher.addresses import Addresses
from services.dispatcher.dsn import NOTICE_BYTES_MAX, Bounce, read_bounce
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.links import Link
from services.dispatcher.receipts import Receipt, Receipts
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics

MAIL: Final = "mail"
UNKNOWN: Final = "unknown"
LOOK_SECONDS: Final = 5.0
TAKEN_TOGETHER_MAX: Final = 100

_log = get_logger(__name__)


class MailSends(Protocol):
    """Knows the mails that were sent. `Transient` while the store is away."""

    async def sent(self, send_id: str) -> Link | None:
        """Whose a send was."""

    async def address_of(self, send_id: str) -> bytes | None:
        """The digest of the address that it went to."""


class KnownSends:
    """The ledger's."""

    def __init__(self, reader: LedgerReader, changes: LedgerChanges) -> None:
        self._reader = reader
        self.address_of = changes.address_of

    async def sent(self, send_id: str) -> Link | None:
        """See `MailSends.sent`."""
        try:
            known = await self._reader.find(UUID(send_id))
        except ValueError:
            return None
        if known is None:
            return None
        return Link(
            send_id=str(UUID(send_id)),
            person=known.person,
            trigger=known.trigger,
            channel=known.channel,
            category="",
        )


class Bounces:
    """Takes notices from all doors; telling of one again changes nothing.

    What came back for good becomes a receipt; if there is no such mailbox, its address is kept
    out at once: that our own server took the mail says nothing of it, so refusals would never
    add up. What may still arrive is counted and nothing else.
    """

    def __init__(
        self, *, sends: MailSends, receipts: Receipts, addresses: Addresses, metrics: Metrics
    ) -> None:
        self._sends = sends
        self._receipts = receipts
        self._addresses = addresses
        self._counter = metrics.counter(BOUNCES)

    async def take(self, raw: bytes) -> Bounce | None:
        """Return once what a notice says is kept; None where it says nothing of a mail of ours.

        Raises:
            Transient: it cannot be kept now; whoever brought it should bring it again.
        """
        bounce = await asyncio.to_thread(read_bounce, raw)
        sent = None if bounce is None else await self._sends.sent(bounce.send_id)
        if bounce is None or sent is None or sent.channel != MAIL:
            self._counter.labels(kind=UNKNOWN).inc()
            return None
        if bounce.grade == "hard":
            if bounce.about_address:
                digest = await self._sends.address_of(bounce.send_id)
                if digest is not None:
                    await self._addresses.block(MAIL, digest, f"bounced: {bounce.status}")
            reason = f"status {bounce.status}" if bounce.status else "no status"
            await self._receipts.take(Receipt(kind="bounced", sent=sent, reason=reason))
        self._counter.labels(kind=bounce.grade).inc()
        return bounce


class BounceFolder:
    """A Maildir whose `new` is looked through; what was taken goes to `cur`, as read.

    Several dispatchers may look at one folder: what two of them take changes nothing twice.
    """

    def __init__(self, path: Path, bounces: Bounces) -> None:
        self._new, self._cur = path / "new", path / "cur"
        self._bounces = bounces

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and then until `stop`; what cannot be kept now stays where it is."""
        while not stop.is_set():
            try:
                more = await self.look()
            except (Transient, OSError) as error:
                # An OSError names the file, whose name mail servers make of time and host.
                _log.warning("bounces are left for later", reason=type(error).__name__)
                more = False
            try:
                async with asyncio.timeout(0 if more else LOOK_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass  # time to look again

    async def look(self) -> bool:
        """Take what is there, up to a bound; whether there may be more.

        Raises:
            Transient: see `Bounces.take`.
            OSError: the folder cannot be read or written.
        """
        names = await asyncio.to_thread(self._names)
        for name in names:
            raw = await asyncio.to_thread(self._read, name)
            if raw is not None:
                await self._bounces.take(raw)
                await asyncio.to_thread(self._done, name)
        return len(names) >= TAKEN_TOGETHER_MAX

    def _names(self) -> list[str]:
        names = (one.name for one in self._new.iterdir() if not one.name.startswith("."))
        return sorted(names)[:TAKEN_TOGETHER_MAX]

    def _read(self, name: str) -> bytes | None:
        try:
            with (self._new / name).open("rb") as file:
                return file.read(NOTICE_BYTES_MAX)
        except FileNotFoundError:
            return None  # another dispatcher was quicker

    def _done(self, name: str) -> None:
        self._cur.mkdir(exist_ok=True)
        try:
            (self._new / name).rename(self._cur / f"{name.partition(':')[0]}:2,S")
        except FileNotFoundError:
            pass  # as above
