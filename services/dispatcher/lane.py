"""One queue's workers: claim from the ledger, send, hand the outcome over."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from services.contracts.command import SendCommand
from services.contracts.errors import Malformed, Transient
from services.contracts.metrics import ATTEMPTS, ENDED_UNSENT, RATE_LIMITED, RETRIES
from services.contracts.time import Micros
from services.dispatcher.addresses import Addresses, digest_of
from services.dispatcher.channels.port import Accepted, Delayed, Refused, Unknown
from services.dispatcher.commands import compose, decode_known
from services.dispatcher.ledger import Claim, Ledger, NewSend
from services.dispatcher.policy import Settlement, give_up, put_back, wait_out
from services.dispatcher.provider import Provider
from services.dispatcher.rates import Rates
from services.dispatcher.rules import Rules
from services.dispatcher.settler import Settled, Settler
from services.dispatcher.stops import Stops
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done

POLL_SECONDS: Final = 0.25
"""How late a lane notices what another process or the retry schedule made due, and what was
recorded earlier than others that have been claimed already."""
BEGUN_TOGETHER_MAX: Final = 16
"""So many sends begin before the event loop turns to others: answers, and what came meanwhile."""

Begin = Callable[[Claim, SendCommand, bytes | None, str | None], None]

_OUTCOME_LABELS: Final[dict[type, str]] = {
    Accepted: "accepted",
    Delayed: "transient",
    Refused: "permanent",
    Unknown: "unknown",
}


class Lane:
    """Sends of one queue by its first provider; the others stand in while that one is out of
    order. No more is claimed than can begin at once: what waits in a process would look
    interrupted if the process died.

    New sends may begin without waiting in the ledger first (`offer`, then `take`), as long as
    there are places for what waits there as well.
    """

    def __init__(
        self,
        queue: str,
        providers: Sequence[Provider],
        *,
        ledger: Ledger,
        rates: Rates,
        addresses: Addresses,
        settler: Settler,
        rules: Rules,
        metrics: Metrics,
        stops: Stops,
    ) -> None:
        self.queue = queue
        self._stops = stops
        self._providers = providers
        self._by_name = {provider.name: provider for provider in providers}
        self._ledger = ledger
        self._rates = rates
        self._addresses = addresses
        self._settler = settler
        self._rules = rules
        self._attempts = metrics.counter(ATTEMPTS)
        self._unsent = metrics.counter(ENDED_UNSENT)
        self._limited = metrics.counter(RATE_LIMITED)
        self._retries = metrics.counter(RETRIES)
        self._awake = asyncio.Event()
        self._came = asyncio.Event()
        self._held: set[str] = set()
        self._inbox: list[Claim] = []
        self._drained = False
        self._crowded = True
        self._urgent_waits = True
        self._lost = False
        self._ending = False
        self._since: dict[str, Micros] = {}
        self._swept_at = float("-inf")
        for provider in providers:
            provider.on_room.append(self._on_room)
        stops.on_change.append(self.wake)

    def offer(self, sends: Sequence[NewSend], *, urgent: bool) -> dict[str, str]:
        """Which of these new sends may begin at once, and by whom; places are kept for them
        until `take`."""
        offered = self._offered(sends, urgent=urgent)
        self._urgent_waits = self._urgent_waits or (urgent and len(offered) < len(sends))
        return offered

    def _offered(self, sends: Sequence[NewSend], *, urgent: bool) -> dict[str, str]:
        provider = self._providers[0]
        if self._ending or provider.rate is not None or provider.out_of_order:
            return {}
        if self._stops.holds(self.queue):
            return {}
        if self._crowded and not urgent:
            return {}
        reserved = provider.reserve(len(sends))
        begun = reserved if urgent else provider.bulk_of(reserved)
        provider.unused(reserved - begun)
        self._crowded = self._crowded or begun < len(sends)
        first = sorted(sends, key=lambda send: send.rank)[:begun]
        offered = {send.send_id: provider.name for send in first}
        self._held.update(offered)
        return offered

    def take(self, offered: dict[str, str], claims: Sequence[Claim]) -> None:
        """Begin those that stand in the ledger as claimed; the others' places are free again."""
        taken = {claim.send_id for claim in claims}
        for send_id, name in offered.items():
            if send_id not in taken:
                self._held.discard(send_id)
                self._by_name[name].unused(1)
        self._inbox += claims
        self._came.set()

    def wake(self) -> None:
        """New commands wait in the ledger."""
        self._drained = False
        self._awake.set()

    def _on_room(self) -> None:
        # For one place after the other the ledger would be asked all the time.
        if self._urgent_waits or any(provider.roomy for provider in self._providers):
            self._awake.set()

    def doubt(self) -> None:
        """The acknowledgement of a claim may have been lost: look for it."""
        self._lost = True
        self._awake.set()

    def end(self) -> None:
        """Claim no more; `run` returns once what was claimed has been settled."""
        self._ending = True
        self._awake.set()
        self._came.set()

    async def run(self) -> None:
        """Work until told to end. An exception of a channel is a bug and comes out."""
        async with asyncio.TaskGroup() as group:
            begin: Begin = partial(self._begin, group)
            # Beside the claiming: what is ours already waits for no question to the ledger.
            group.create_task(self._start_taken(begin))
            overdue = True
            while True:
                if self._lost:
                    self._lost = False
                    await self._find_lost(begin)
                if self._ending:
                    return
                more = (overdue or not self._drained) and await self._look(begin, overdue)
                overdue = False if more else await self._wait()

    async def _wait(self) -> bool:
        """Until called; True where nobody called and it is time to look anyway."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._awake.wait()
        except TimeoutError:
            return True
        self._awake.clear()
        return False

    async def _start_taken(self, begin: Begin) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            claims, self._inbox = self._inbox, []
            await self._start(claims, begin)
            if self._ending and not self._inbox:
                return

    async def _find_lost(self, begin: Begin) -> None:
        lost = await until_done(
            "find_lost", lambda: self._ledger.mine(self.queue, self._held), self._on_retry
        )
        for claim in lost:
            self._held.add(claim.send_id)
            self._by_name[claim.provider or ""].reserve_anyway()
        await self._start(lost, begin)

    async def _look(self, begin: Begin, overdue: bool) -> bool:
        """Claim what is due, for each provider that may have it; whether there may be more."""
        if self._stops.holds(self.queue):
            return False
        sweep = overdue or time.monotonic() >= self._swept_at + POLL_SECONDS
        if sweep:
            self._since.clear()
            self._swept_at = time.monotonic()
        for_urgent = self._urgent_waits or sweep
        more, any_ = False, True
        for provider in self._providers:
            # Not all places: what comes in meanwhile may need some.
            reserved = provider.reserve(self._wanted(provider, for_urgent=for_urgent))
            self._crowded = self._crowded or not reserved
            if reserved:
                bulk = provider.bulk_of(reserved)
                if any_:
                    # Before the question: what is recorded while it is asked calls again.
                    self._drained = provider.rate is None
                    self._urgent_waits = self._urgent_waits and not for_urgent
                since = self._since.get(provider.name, 0)
                claims = await self._claim(provider, reserved, bulk=bulk, any_=any_)
                provider.unused(reserved - len(claims))
                # Where it went on from the last claim, some may wait before that.
                rest = len(claims) >= bulk or since > 0
                if any_:
                    self._crowded = rest
                    self._drained = self._drained and not self._crowded
                    if for_urgent and len(claims) == reserved:
                        self._urgent_waits = True
                await self._start(claims, begin)
                more = more or (rest and bulk > 0 and provider.roomy)
            any_ = any_ and provider.out_of_order
        return more

    def _wanted(self, provider: Provider, *, for_urgent: bool) -> int | None:
        """How many places to ask the ledger for, None for all there are."""
        if for_urgent:
            return None if self._crowded else provider.half
        return provider.bulk_room if self._crowded else min(provider.bulk_room, provider.half)

    async def _claim(self, provider: Provider, limit: int, *, bulk: int, any_: bool) -> list[Claim]:
        granted = limit
        if provider.rate is not None:
            granted = await self._granted(provider, limit, bulk=bulk, any_=any_)
            if not granted:
                return []
        claims = await until_done(
            "claim",
            lambda: self._ledger.claim(
                self.queue,
                provider.name,
                granted,
                bulk=min(bulk, granted),
                any_=any_,
                quick=provider.channel.idempotent,
                since=self._since.get(provider.name, 0),
            ),
            self._on_lost_claim,
        )
        self._held.update(claim.send_id for claim in claims)
        if provider.rate is None:
            last = max((claim.bulk_since for claim in claims), default=0)
            self._since[provider.name] = last if len(claims) >= bulk else 0
        elif len(claims) < granted:
            await self._give_back(provider, granted - len(claims), provider.rate)
        return claims

    async def _granted(self, provider: Provider, limit: int, *, bulk: int, any_: bool) -> int:
        """How many of the due sends the rate allows now."""
        rate = provider.rate
        assert rate is not None
        due = await until_done(
            "due",
            lambda: self._ledger.due(self.queue, provider.name, limit, bulk=bulk, any_=any_),
            self._on_retry,
        )
        if not due:
            return 0
        granted = await until_done(
            "take_tokens", lambda: self._rates.take(provider.name, due, rate), self._on_retry
        )
        if granted < due:
            self._limited.labels(provider=provider.name).inc()
        return granted

    async def _give_back(self, provider: Provider, tokens: int, rate: float) -> None:
        try:
            await self._rates.give_back(provider.name, tokens, rate)
        except Transient:
            # Tokens lost are a moment's slowness; tokens given back twice would be too much.
            self._on_retry("give_back_tokens")

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    def _on_lost_claim(self, operation: str) -> None:
        self._on_retry(operation)
        self.doubt()

    async def _start(self, claims: Sequence[Claim], begin: Begin) -> None:
        if not claims:
            return
        commands = [decode_known(claim.command) for claim in claims]
        digests = {
            claim.send_id: digest_of(command.channel, command.to)
            for claim, command in zip(claims, commands, strict=True)
            if command.to is not None
        }
        blocked: dict[bytes, str] = {}
        if digests:
            blocked = await until_done(
                "blocked", lambda: self._addresses.blocked(digests.values()), self._on_retry
            )
        for begun, (claim, command) in enumerate(zip(claims, commands, strict=True), 1):
            digest = digests.get(claim.send_id)
            begin(claim, command, digest, None if digest is None else blocked.get(digest))
            if begun % BEGUN_TOGETHER_MAX == 0:
                await asyncio.sleep(0)

    def _begin(
        self,
        group: asyncio.TaskGroup,
        claim: Claim,
        command: SendCommand,
        digest: bytes | None,
        blocked: str | None,
    ) -> None:
        group.create_task(self._attempt(claim, command, digest, blocked))

    async def _attempt(
        self, claim: Claim, command: SendCommand, digest: bytes | None, blocked: str | None
    ) -> None:
        provider = self._by_name[claim.provider or ""]
        settlement = self._unsendable(claim, command, blocked)
        if settlement is None:
            settlement = await self._send(provider, claim, command)
        else:
            provider.skipped()
            reason = (settlement.reason or "").partition(":")[0]
            self._unsent.labels(reason=reason).inc()
        self._settler.put(
            Settled(
                claim=claim,
                command=command,
                settlement=settlement,
                idempotent=provider.channel.idempotent,
                digest=digest,
                done=partial(self._release, claim.send_id, provider),
                enough=provider.together,
            )
        )

    def _release(self, send_id: str, provider: Provider) -> None:
        self._held.discard(send_id)
        provider.release(1)

    def _unsendable(
        self, claim: Claim, command: SendCommand, blocked: str | None
    ) -> Settlement | None:
        """What is known at the last moment and forbids the attempt."""
        if claim.cancelled:
            return give_up("cancelled", doubtful=claim.doubtful)
        if self._rules.expired(command):
            return give_up("expired", doubtful=claim.doubtful)
        if blocked is not None:
            return give_up(f"quarantined: {blocked}", doubtful=claim.doubtful)
        if self._stops.holds(self.queue):
            return put_back("stopped", doubtful=claim.doubtful)
        if wait_micros := self._rules.hold(command):
            return wait_out(wait_micros, doubtful=claim.doubtful)
        return None

    async def _send(self, provider: Provider, claim: Claim, command: SendCommand) -> Settlement:
        try:
            message = compose(command, self._rules.links)
        except Malformed as error:
            provider.skipped()
            return give_up(str(error), doubtful=claim.doubtful)
        outcome = await provider.send(message)
        label = _OUTCOME_LABELS[type(outcome)]
        self._attempts.labels(channel=command.channel, outcome=label).inc()
        return self._rules.settle(claim, command, outcome, idempotent=provider.channel.idempotent)
