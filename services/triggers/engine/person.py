"""What an event changes of the person: ids, traits, time zone, and the profile snapshot."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.contracts.event import ALIAS, GROUP, IDENTIFY, TRACK, Event
from services.contracts.profile import Profile
from services.contracts.time import Micros
from services.triggers.engine.consents import CONSENT_TRAIT, note_consents
from services.triggers.engine.hops import ask_for
from services.triggers.engine.limits import (
    TRAIT_BYTES_MAX,
    TRAIT_NAME_CHARS_MAX,
    TRAITS_BYTES_MAX,
    TRAITS_MAX,
)
from services.triggers.engine.local import known, own_calendar
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.rules import Rules
from services.triggers.engine.state import PersonState, Sending
from services.triggers.engine.tags import LEAVES_AT, TOTAL
from services.triggers.engine.windows import Calendar

GROUP_TRAIT: Final = "group_id"

_NOTHING_SENT: Final = Sending()
_encode = msgspec.msgpack.Encoder().encode


def _size(name: str, value: Any) -> int | None:
    """Bytes of a trait, None where it can stand in no profile."""
    if not name or len(name) > TRAIT_NAME_CHARS_MAX:
        return None
    try:
        size = len(_encode(value))
    except (OverflowError, TypeError, UnicodeEncodeError, RecursionError):
        # An integer beyond 64 bits, or what no JSON gives: it cannot be stored.
        return None
    return size if size <= TRAIT_BYTES_MAX else None


def _answers(before: Any, given: Any) -> Any:
    # Who unsubscribes from mail says nothing of anything else: each answer stands by itself.
    if isinstance(before, dict) and isinstance(given, dict):
        return {**before, **given}
    return given


def _merge_traits(state: PersonState, given: Mapping[str, Any], at: Micros, out: Outputs) -> None:
    """Take over traits; null removes one, and consent is taken answer by answer.

    An older event than the newest fills gaps only.
    """
    newest = state.traits_at is None or at >= state.traits_at
    _put_traits(state, given, out, over=newest)
    if newest:
        state.traits_at = at


def put_trait(state: PersonState, name: str, value: Any, out: Outputs) -> bool:
    """Set a trait by hand, whatever is known (None removes it); False where it does not fit."""
    _put_traits(state, {name: value}, out, over=True)
    return bool(state.traits.get(name) == value)


def fill_traits(state: PersonState, given: Mapping[str, Any], out: Outputs) -> None:
    """Take over those traits of which nothing is known yet; of consent, each answer by itself.

    Who said no under either name has said no.
    """
    mine, theirs = state.traits.get(CONSENT_TRAIT), given.get(CONSENT_TRAIT)
    _put_traits(state, given, out, over=False)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        noes = {name: answer for name, answer in theirs.items() if answer is False}
        _put_traits(state, {CONSENT_TRAIT: {**theirs, **mine, **noes}}, out, over=True)


def _put_traits(state: PersonState, given: Mapping[str, Any], out: Outputs, *, over: bool) -> None:
    # A new dict each time: snapshots and commands already handed out keep theirs.
    traits = dict(state.traits)
    room = TRAITS_BYTES_MAX - sum(
        len(name) + (_size(name, value) or 0) for name, value in traits.items()
    )
    for name, value in given.items():
        if not over and name in traits:
            continue
        if name in traits:
            room += len(name) + (_size(name, traits[name]) or 0)
        if value is None:
            traits.pop(name, None)
            continue
        if name == CONSENT_TRAIT:
            value = _answers(traits.get(name), value)
        size = _size(name, value)
        if (
            size is None
            or (name not in traits and len(traits) >= TRAITS_MAX)
            or (room < len(name) + size)
        ):
            out.skipped["trait"] += 1
            if name in traits:
                room -= len(name) + (_size(name, traits[name]) or 0)
            continue
        traits[name] = value
        room -= len(name) + size
    state.traits = traits


def absorb(state: PersonState, event: Event, at: Micros, out: Outputs) -> None:
    """Take over what the event says of the person, before any tag or condition sees it."""
    if state.last_seen_at is None or state.first_seen_at is None:
        state.first_seen_at = state.last_seen_at = at
    elif at > state.last_seen_at:
        state.last_seen_at = at
    elif at < state.first_seen_at:
        state.first_seen_at = at
    # What is forwarded still bears the id it came under.
    if event.user_id is not None and (event.user_id == state.person or state.user_id is None):
        state.user_id = event.user_id
    if event.anonymous_id is not None:
        state.anonymous_id = event.anonymous_id
    if event.context:
        zone = event.context.get("timezone")
        if zone is not None and zone != state.zone and known(zone):
            state.zone = zone
    if event.type != TRACK:
        _absorb_call(state, event, at, out)


def _absorb_call(state: PersonState, event: Event, at: Micros, out: Outputs) -> None:
    """What calls other than `track` say of the person."""
    if event.type == IDENTIFY:
        if event.user_id is not None and event.anonymous_id is not None:
            ask_for(state, event.anonymous_id, out)
        _merge_traits(state, event.traits, at, out)
        if CONSENT_TRAIT in event.traits:
            note_consents(state, event, at)
    elif event.type == GROUP and event.group_id is not None:
        _merge_traits(state, {GROUP_TRAIT: event.group_id}, at, out)
    elif event.type == ALIAS and event.previous_id is not None:
        ask_for(state, event.previous_id, out)


def calendar_for(state: PersonState, rules: Rules) -> Calendar:
    """The person's own calendar, else the workspace's."""
    return own_calendar(state, rules.calendar)


def tag_values(state: PersonState, rules: Rules, now: Micros) -> dict[str, Any]:
    """Every tag's value at `now`."""
    values = rules.tags_empty.copy()
    named = rules.tags
    for key, data in state.tags.items():
        name, read, stands = named[key]
        values[name] = data[TOTAL] if stands and now < data[LEAVES_AT] else read(data, now)
    for name, made in rules.derived:
        values[name] = made.compute(state, now, *[values[one] for one in made.of])
    return values


def _approximate(state: PersonState, rules: Rules) -> tuple[str, ...]:
    """The tags whose value is an estimate."""
    return tuple(
        rules.tags[key][0]
        for key, is_estimate in rules.estimates.items()
        if (data := state.tags.get(key)) is not None and is_estimate(data)
    )


def _segments(state: PersonState, rules: Rules) -> tuple[str, ...]:
    if rules.groups is None or state.membership is None:
        return ()
    return rules.groups.members(state.membership)


def moved(state: PersonState, rules: Rules, out: Outputs) -> None:
    """Hand out that the person is another one now, before what is known of them is gone."""
    first_seen_at, last_seen_at = state.first_seen_at, state.last_seen_at
    out.profiles.append(
        Profile(
            person=state.person,
            as_of=state.now,
            source_partition=out.partition,
            source_offset=state.applied >> 16,
            revision=rules.revision,
            first_seen_at=state.now if first_seen_at is None else first_seen_at,
            last_seen_at=state.now if last_seen_at is None else last_seen_at,
            merged_into=state.merged_into,
        )
    )


def snapshot(state: PersonState, rules: Rules, now: Micros, out: Outputs) -> None:
    """Hand out the profile of a person who has one."""
    if state.first_seen_at is None or state.last_seen_at is None:
        return
    state.emitted_at = now
    state.changed = False
    sending = state.sending or _NOTHING_SENT
    values = tag_values(state, rules, now)
    if rules.shown is not None:
        rules.shown.remember(state, values, now)
    out.profiles.append(
        Profile(
            person=state.person,
            as_of=now,
            source_partition=out.partition,
            source_offset=state.applied >> 16,
            revision=rules.revision,
            user_id=state.user_id,
            anonymous_id=state.anonymous_id,
            traits=state.traits,
            consents=state.consents,
            tags=values,
            approximate=_approximate(state, rules) if rules.estimates else (),
            messages_accepted=sending.accepted,
            messages_failed=sending.failed,
            last_message_at=sending.last_message_at,
            first_seen_at=state.first_seen_at,
            last_seen_at=state.last_seen_at,
            segments=_segments(state, rules),
        )
    )
