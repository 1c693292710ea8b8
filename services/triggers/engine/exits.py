"""The ways out: an event ends what a trigger has under way in the person.

An exit works when it arrives, however late and whatever its own time: nothing goes out after
it. It is not remembered, so it touches nothing that comes in later.
"""

from services.contracts.decision import Outcome
from services.contracts.event import Event
from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate, by_age
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.recalls import left
from services.triggers.engine.records import record, run_name
from services.triggers.engine.rules import Rules
from services.triggers.engine.sensing import keep, next_due
from services.triggers.engine.state import PersonState, Run
from services.triggers.engine.waits import decode_properties, key_of, same_key


def leave(
    state: PersonState,
    event: Event,
    rules: Rules,
    now: Micros,
    out: Outputs,
    entered: list[Candidate],
) -> list[Candidate]:
    """End what the event is an exit from; each run that ends leaves a record `exit`, and each
    send that is taken back.

    `entered` came in before the event, by time alone, and are not decided yet; gives those
    of them who stay. Conditions see the tags with the event applied. A run's way out is that
    of the version it entered on.
    """
    ended: list[Run | Candidate] = []
    sending = state.sending
    if sending is not None and sending.runs:
        over = by_age(run for run in sending.runs if _lets_out(run, state, event, rules))
        if over:
            gone = {id(run) for run in over}
            sending.runs = [run for run in sending.runs if id(run) not in gone]
            state.next_due = next_due(state, rules)
            ended += over
    for way in rules.exits.get(event.name, ()):
        coming = [one for one in entered if one.trigger == way.trigger]
        slot = None if way.slot is None else state.slots.get(way.slot)
        if (not coming and slot is None) or not way.match.fits(event, state):
            continue
        mark = key_of(event.properties, way.key) if way.key else None
        if way.key and mark is None:
            continue
        if slot is not None and way.slot is not None and way.waits is not None:
            keep(state, way.slot, way.waits.leave(slot, mark), rules)
        leaving = [one for one in coming if same_key(event.properties, one.properties, way.key)]
        entered = [one for one in entered if one not in leaving]
        ended += leaving
    if sending is not None and sending.opens:
        left(state, event, rules, now, out)
    details = {"exit_event": event.name, "exit_event_id": event.message_id}
    for one in ended:
        record(
            one,
            Outcome.EXIT,
            {**details, "entered_at": one.entered_at},
            state=state,
            rules=rules,
            now=now,
            out=out,
            run=run_name(one, state, rules),
        )
    if sending is not None and sending.opens:
        left(state, event, rules, now, out)
    return entered


def _lets_out(run: Run, state: PersonState, event: Event, rules: Rules) -> bool:
    rule = rules.versions.of(run)
    if rule is None or rule.way_out is None or rule.trigger.exit is None:
        return False
    key = rule.trigger.exit.key
    if not rule.way_out.fits(event, state):
        return False
    return not key or same_key(event.properties, decode_properties(run.properties), key)
