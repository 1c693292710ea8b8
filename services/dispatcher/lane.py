"""One queue's workers: claim from the ledger, send, hand the outcome over."""

import asyncio
import random
from typing import Final

from services.contracts.command import SendCommand
from services.contracts.errors import Malformed
from services.contracts.metrics import ATTEMPTS, RETRIES
from services.dispatcher.channels.port import (
    Accepted,
    Channel,
    Delayed,
    Outcome,
    Refused,
    Unknown,
)
from services.dispatcher.commands import compose, decode_known
from services.dispatcher.ledger import Claim, Ledger
from services.dispatcher.policy import (
    Policy,
    Settlement,
    WhenUnknown,
    expired,
    give_up,
    settle,
)
from services.dispatcher.settler import Settled, Settler
from services.runtime.clock import Clock, ClockMode
from services.runtime.metrics import Metrics
from services.runtime.retry import until_done

POLL_SECONDS: Final = 0.25
"""How late an idle lane notices what another process or the retry schedule made due."""
INTERRUPTED: Final = "interrupted: the process ended or stalled during the attempt"

_OUTCOME_LABELS: Final[dict[type, str]] = {
    Accepted: "accepted",
    Delayed: "transient",
    Refused: "permanent",
    Unknown: "unknown",
}


class Rules:
    """What all lanes share: the retry policy and the clock."""

    def __init__(
        self, *, policy: Policy, when_unknown: WhenUnknown, clock: Clock, clock_mode: ClockMode
    ) -> None:
        self.policy = policy
        self.when_unknown = when_unknown
        self._clock = clock
        # Replayed history would find everything expired.
        self._expires = clock_mode == "wall"

    def expired(self, command: SendCommand) -> bool:
        """Whether the command's time has passed by this process's clock."""
        return self._expires and expired(command, self._clock.stamp(None))

    def settle(self, claim: Claim, outcome: Outcome, *, idempotent: bool) -> Settlement:
        """See `policy.settle`."""
        return settle(
            outcome,
            attempts=claim.attempts,
            doubtful=claim.doubtful,
            idempotent=idempotent,
            when_unknown=self.when_unknown,
            policy=self.policy,
            random=random.random,
        )


class Lane:
    """At most `concurrency` sends of one queue are claimed at any time.

    No more is claimed than can begin at once: what waits in a process would look
    interrupted if the process died.
    """

    def __init__(
        self,
        queue: str,
        channel: Channel,
        *,
        concurrency: int,
        ledger: Ledger,
        settler: Settler,
        rules: Rules,
        metrics: Metrics,
    ) -> None:
        self.queue = queue
        self.channel = channel
        self._free = concurrency
        self._ledger = ledger
        self._settler = settler
        self._rules = rules
        self._attempts = metrics.counter(ATTEMPTS)
        self._retries = metrics.counter(RETRIES)
        self._awake = asyncio.Event()
        self._ending = False

    def wake(self) -> None:
        """New commands stand in the ledger."""
        self._awake.set()

    def end(self) -> None:
        """Claim no more; `run` returns once what was claimed has been settled."""
        self._ending = True
        self._awake.set()

    async def run(self) -> None:
        """Work until told to end. An exception of a channel is a bug and comes out."""
        async with asyncio.TaskGroup() as group:
            while not self._ending:
                asked = self._free
                claims = await self._claim(asked) if asked else []
                self._free -= len(claims)
                for claim in claims:
                    group.create_task(self._attempt(claim))
                if not claims or len(claims) < asked:
                    await self._wait()

    async def _claim(self, limit: int) -> list[Claim]:
        return await until_done(
            "claim", lambda: self._ledger.claim(self.queue, limit), self._on_retry
        )

    def _on_retry(self, operation: str) -> None:
        self._retries.labels(operation=operation).inc()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._awake.wait()
        except TimeoutError:
            pass  # nobody called: look again anyway
        self._awake.clear()

    async def _attempt(self, claim: Claim) -> None:
        command = decode_known(claim.command)
        settlement = await self._perform(claim, command)
        self._settler.put(
            Settled(claim=claim, command=command, settlement=settlement, done=self._release)
        )

    def _release(self) -> None:
        self._free += 1
        self._awake.set()

    async def _perform(self, claim: Claim, command: SendCommand) -> Settlement:
        if self._rules.expired(command):
            return give_up("expired", doubtful=claim.doubtful)
        try:
            message = compose(command)
        except Malformed as error:
            return give_up(str(error), doubtful=claim.doubtful)
        outcome = await self.channel.send(message)
        label = _OUTCOME_LABELS[type(outcome)]
        self._attempts.labels(channel=command.channel, outcome=label).inc()
        return self._rules.settle(claim, outcome, idempotent=self.channel.idempotent)
