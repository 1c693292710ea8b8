"""What the second engine takes back: of all that was ever asked for, what may yet go out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.contracts.decision import Outcome
from services.contracts.time import Micros
from tests.engine.reference_checks import Checks
from tests.engine.reference_values import Line, Run, same_key

REMEMBERED_MAX = 32


@dataclass(kw_only=True)
class Wish:
    """Something that the dispatcher was asked for, at a step of a run; `open` until it is known
    what became of it, or nothing can any more."""

    run: Run
    step: int
    id_: str
    channel: str | None
    until: Micros
    open: bool = True


@dataclass(kw_only=True)
class Recalls(Checks):
    """One person, and what was asked of the dispatcher for them, the oldest first."""

    wishes: list[Wish] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)

    def wish(self, run: Run, id_: str, channel: str | None, until: Micros) -> None:
        """It was asked for."""
        for one in self.wishes:
            one.open = one.open and self.now < one.until
        self.wishes.append(Wish(run=run, step=run.step, id_=id_, channel=channel, until=until))
        for one in [one for one in self.wishes if one.open][:-REMEMBERED_MAX]:
            one.open = False

    def heard(self, id_: str) -> None:
        """The dispatcher told of it."""
        for one in self.wishes:
            one.open = one.open and one.id_ != id_

    def take_back(
        self,
        why: Callable[[Wish], Outcome | None],
        winner: str | None = None,
        by: str | None = None,
    ) -> None:
        """All for which there is a reason, if there is time."""
        for one in self.wishes:
            outcome = why(one) if one.open and self.now < one.until else None
            if outcome is None:
                continue
            one.open = False
            self.taken_back.append(one.id_)
            self.lines.append(
                Line(
                    trigger=one.run.trigger,
                    version=one.run.version,
                    step=one.step,
                    event_id=one.run.event_id,
                    outcome=outcome,
                    winner=winner,
                    by=by,
                    taken_back=True,
                )
            )

    def review(self) -> None:
        """What is said no to now, by the person or by whoever took the trigger away."""

        def why(one: Wish) -> Outcome | None:
            trigger = self.definition(one.run)
            if not self.is_decided(one.run):
                return Outcome.PAUSED
            if trigger is None or one.channel is None or self.agrees(trigger, one.channel):
                return None
            return Outcome.CONSENT

        self.take_back(why)

    def leaves(self, name: str, event_id: str, properties: Mapping[str, Any]) -> None:
        """An event that may be a way out for what was asked for."""

        def why(one: Wish) -> Outcome | None:
            trigger = self.definition(one.run)
            exit_ = None if trigger is None else trigger.exit
            if exit_ is None or name not in exit_.events or not self.is_decided(one.run):
                return None
            fits = exit_.where is None or self.holds(exit_.where, properties)
            same = same_key(properties, one.run.properties, exit_.key)
            return Outcome.EXIT if fits and same else None

        self.take_back(why, by=event_id)
