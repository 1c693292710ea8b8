"""Proof of consent: for each answer that a person gave, when, by which event, how and to what."""

from typing import Any, Final

from services.contracts.cleaning import source_of
from services.contracts.event import Event
from services.contracts.profile import Consent
from services.contracts.time import Micros
from services.triggers.engine.limits import PROOF_TEXT_CHARS_MAX, PROOFS_MAX
from services.triggers.engine.state import PersonState

CONSENT_TRAIT: Final = "consent"
"""An object: an answer for each category, channel, or channel of a category (`sms.marketing`)."""
_CONTEXT: Final = "consent"


def note_consents(state: PersonState, event: Event, at: Micros) -> None:
    """Keep with each answer that the event gave, and that stands now, how it was given.

    `context.consent` of the event may say `wording` (what was agreed to) and `method` (a box
    that was ticked, a call). An answer that was taken back leaves no proof.
    """
    given, stands = event.traits.get(CONSENT_TRAIT), state.traits.get(CONSENT_TRAIT)
    if not isinstance(given, dict):
        if CONSENT_TRAIT in event.traits and stands is None:
            state.consents = {}
        return
    standing = stands if isinstance(stands, dict) else {}
    said = event.context.get(_CONTEXT)
    details = said if isinstance(said, dict) else {}
    proofs = {
        name: proof for name, proof in state.consents.items() if standing.get(name) is proof.answer
    }
    answer: Any
    for name, answer in given.items():
        if not isinstance(answer, bool) or standing.get(name) is not answer:
            continue
        proofs.pop(name, None)
        proofs[name[:PROOF_TEXT_CHARS_MAX]] = Consent(
            answer=answer is True,
            at=at,
            event_id=event.message_id,
            source=source_of(event.context),
            wording=_text(details.get("wording")),
            method=_text(details.get("method")),
        )
    # The oldest give way: what a person said last is what counts.
    while len(proofs) > PROOFS_MAX:
        del proofs[next(iter(proofs))]
    state.consents = proofs


def merge_consents(state: PersonState, other: PersonState) -> None:
    """Of two people's proofs of one answer that which fits what stands now, the later of two."""
    stands = state.traits.get(CONSENT_TRAIT)
    standing = stands if isinstance(stands, dict) else {}
    fitting: dict[str, Consent] = {}
    for proofs in (state.consents, other.consents):
        for name, proof in proofs.items():
            known = fitting.get(name)
            if standing.get(name) is proof.answer and (known is None or proof.at > known.at):
                fitting[name] = proof
    names = sorted(fitting, key=lambda name: (fitting[name].at, name))
    state.consents = {name: fitting[name] for name in names[-PROOFS_MAX:]}


def _text(value: Any) -> str:
    return value[:PROOF_TEXT_CHARS_MAX] if isinstance(value, str) else ""
