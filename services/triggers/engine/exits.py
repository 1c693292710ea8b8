"""The ways out: an event ends what a trigger has waiting in the person.

An exit works when it arrives, however late and whatever its own time: nothing goes out after
it. It is not remembered, so it touches nothing that comes in later.
"""

from services.contracts.decision import Outcome
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.rules import Rules
from services.triggers.engine.sending import decode, no_longer
from services.triggers.engine.sensing import keep
from services.triggers.engine.sensors import WayOut
from services.triggers.engine.state import PersonState, Run
from services.triggers.engine.waits import key_of


def leave(
    state: PersonState,
    event: Event,
    rules: Rules,
    now: Micros,
    out: Outputs,
    entered: list[Candidate],
) -> list[Candidate]:
    """End what the event is an exit from; every send that ends leaves a record `exit`.

    `entered` came in before the event, by time alone, and are not decided yet; gives those
    of them who stay. Conditions see the tags with the event applied.
    """
    for way in rules.exits.get(event.name, ()):
        sending = state.sending
        pending = (
            [one for one in sending.runs if one.trigger == way.trigger]
            if sending is not None
            else []
        )
        slot = None if way.slot is None else state.slots.get(way.slot)
        coming = [one for one in entered if one.trigger == way.trigger]
        if not pending and not coming and slot is None:
            continue
        if not way.match.fits(event, state):
            continue
        mark = key_of(event.properties, way.key) if way.key else None
        if way.key and mark is None:
            continue
        if slot is not None and way.slot is not None and way.waits is not None:
            keep(state, way.slot, way.waits.leave(slot, mark))
        waiting: list[Run | Candidate] = [*pending, *coming]
        ended = [one for one in waiting if _bears(one, way, mark)]
        entered = [one for one in entered if one not in ended]
        if sending is not None and ended:
            sending.runs = [one for one in sending.runs if one not in ended]
        details = {"exit_event": event.name, "exit_event_id": event.message_id}
        for one in ended:
            out.decisions.append(
                no_longer(
                    state, one, rules, now, Outcome.EXIT, {**details, "entered_at": one.entered_at}
                )
            )
    return entered


def _bears(one: Run | Candidate, way: WayOut, mark: int | None) -> bool:
    if mark is None:
        return True
    properties = decode(one.properties) if isinstance(one, Run) else one.properties
    return key_of(properties, way.key) == mark
