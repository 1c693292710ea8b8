"""What all lanes share: the retry policy, the clock, and the default after silence."""

import random

import msgspec

from services.contracts.command import SendCommand, WhenUnknown
from services.contracts.time import Micros
from services.dispatcher.channels.port import Outcome, Unknown
from services.dispatcher.ledger import Claim
from services.dispatcher.links import Links
from services.dispatcher.policy import Policy, Settlement, expired, hold, settle
from services.runtime.clock import Clock, ClockMode


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Decides about single sends; see `policy`.

    Replayed history is sent whatever the clock says: it would find everything expired.
    `links` lead back to us, where there are any.
    """

    policy: Policy
    when_unknown: WhenUnknown
    clock: Clock
    clock_mode: ClockMode
    links: Links | None = None

    @property
    def live(self) -> bool:
        """Whether time is the machine's, so that deadlines and quiet hours bind."""
        return self.clock_mode == "wall"

    def ends_at(self) -> Micros | None:
        """When a send ends now; None stands for the instant of its decision."""
        return self.clock.stamp(None) if self.live else None

    def expired(self, command: SendCommand) -> bool:
        """Whether the command's time has passed."""
        return self.live and expired(command, self.clock.stamp(None))

    def hold(self, command: SendCommand) -> int:
        """Microseconds that quiet hours keep it back; see `policy.hold`."""
        if not command.not_between or not self.live:
            return 0
        return hold(command.not_between, self.clock.stamp(None))

    def settle(
        self, claim: Claim, command: SendCommand, outcome: Outcome, *, idempotent: bool
    ) -> Settlement:
        """See `policy.settle`; the command's own choice goes before the setting."""
        return settle(
            outcome,
            attempts=claim.attempts - claim.attempts_before,
            doubtful=claim.doubtful,
            idempotent=idempotent,
            when_unknown=command.when_unknown or self.when_unknown,
            policy=self.policy,
            random=random.random,
        )

    def interrupted(self, claim: Claim, command: SendCommand, *, idempotent: bool) -> Settlement:
        """What follows for a send in whose middle a process ended."""
        reason = "interrupted: the process ended or stalled during the attempt"
        return self.settle(claim, command, Unknown(reason=reason), idempotent=idempotent)
