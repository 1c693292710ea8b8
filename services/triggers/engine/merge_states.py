"""One state out of two: what is known of a person and of another, as if it had been one."""

from collections.abc import Iterator

from services.contracts.time import Micros
from services.triggers.engine.candidates import Candidate
from services.triggers.engine.consents import merge_consents
from services.triggers.engine.dedup import join_seen
from services.triggers.engine.grouping import join_groups, regroup_joined
from services.triggers.engine.merge_sending import merge_sending
from services.triggers.engine.outliers import merge_weighed
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.person import fill_traits
from services.triggers.engine.rules import Rules
from services.triggers.engine.sensing import merge_slots
from services.triggers.engine.state import PersonState


def merge_states(
    state: PersonState, other: PersonState, rules: Rules, now: Micros, out: Outputs
) -> list[Candidate]:
    """Take `other` into `state`; gives who comes in by that alone.

    Both follow these rules and have come to `now`. `other` must not be used afterwards.
    """
    join_groups(state, other)
    _join_person(state, other, out)
    join_seen(state, other, rules)
    merge_weighed(state, other)
    for key, data in other.tags.items():
        mine = state.tags.get(key)
        if mine is None:
            state.tags[key] = data
        else:
            rules.merge_tag[key](mine, data, now)
    candidates = merge_slots(state, other, rules, now)
    candidates += regroup_joined(state, other.person, rules, now, out)
    merge_sending(state, other, rules, now, out)
    return candidates


def _join_person(state: PersonState, other: PersonState, out: Outputs) -> None:
    """Who they are: what is known of the person stands, the other's fills gaps."""
    state.first_seen_at = min(_given(state.first_seen_at, other.first_seen_at), default=None)
    state.last_seen_at = max(_given(state.last_seen_at, other.last_seen_at), default=None)
    state.user_id = state.user_id or other.user_id
    state.anonymous_id = state.anonymous_id or other.anonymous_id
    state.zone = state.zone or other.zone
    fill_traits(state, other.traits, out)
    merge_consents(state, other)
    state.traits_at = max(_given(state.traits_at, other.traits_at), default=None)


def _given(*instants: Micros | None) -> Iterator[Micros]:
    return (one for one in instants if one is not None)
