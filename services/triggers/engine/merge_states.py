"""One state out of two: what is known of a person and of another, as if it had been one."""

from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import PersonState


def merge_states(
    state: PersonState, other: PersonState, rules: Rules, now: Micros, out: Outputs
) -> list[Candidate]:
    """Take `other` into `state`, which follows the rules; gives who comes in by that alone."""
    return []
