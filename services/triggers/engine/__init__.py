"""The decision engine: pure functions of a person's state, an event, the rules and `now`.

No clock, no randomness, no I/O: the same log gives the same decisions, byte for byte
(docs/definitions.md says what they mean).
"""

from services.triggers.engine.check import check
from services.triggers.engine.decide import apply_delivery, decide, wake
from services.triggers.engine.erasing import apply_erase, is_nobody
from services.triggers.engine.merging import apply_answer, apply_ask, apply_forward
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.rules import Rules, compile_rules
from services.triggers.engine.sensing import concerns_everyone
from services.triggers.engine.state import (
    PersonState,
    applied_of,
    decode_state,
    encode_state,
    new_state,
    wake_at_of,
)

__all__ = [
    "Outputs",
    "PersonState",
    "Rules",
    "applied_of",
    "apply_answer",
    "apply_ask",
    "apply_delivery",
    "apply_erase",
    "apply_forward",
    "check",
    "compile_rules",
    "concerns_everyone",
    "decide",
    "decode_state",
    "encode_state",
    "is_nobody",
    "new_state",
    "wake",
    "wake_at_of",
]
