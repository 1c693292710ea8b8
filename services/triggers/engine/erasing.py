"""Forgetting a person: of what came before, nothing is left in their state."""

from typing import Any

from services.contracts.command import Erased
from services.contracts.control import Erase
from services.contracts.time import Micros
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import PersonState, new_state


def apply_erase(state: PersonState, erase: Erase, rules: Rules, now: Micros, out: Outputs) -> None:
    """Make them somebody of whom nothing is known, and tell all others to forget them too.

    Who is only an address of another is forgotten as that; the other is erased by themselves.
    What was concluded about them in the same stretch and is not written yet never is.
    """
    blank = new_state(state.person)
    for name in PersonState.__struct_fields__:
        if name != "applied":
            setattr(state, name, getattr(blank, name))
    everything: tuple[list[Any], ...] = (
        out.commands, out.notices, out.decisions, out.profiles, out.findings,
    )  # fmt: skip
    for concluded in everything:
        concluded[:] = [one for one in concluded if one.person != state.person]
    out.notices.append(Erased(person=state.person, request=erase.request, at=now))


def is_nobody(state: PersonState) -> bool:
    """Whether nothing is known of a person, so that there is nothing to keep."""
    return (
        state.first_seen_at is None
        and state.merged_into is None
        and not state.asking
        and not state.merged
    )
