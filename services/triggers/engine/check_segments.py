"""What is wrong with segments and life cycles."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from services.contracts.conditions import Condition
from services.contracts.groups import Lifecycle, Segment
from services.triggers.engine.check_conditions import Problems, TagKind, check_condition

ANY: Final = "any"


def check_segment(
    segment: Segment, place: str, problems: Problems, *, tag_kinds: Mapping[str, TagKind]
) -> None:
    """Add what is wrong with a segment. `tag_kinds` holds the life cycles too."""
    _check_when(segment.when, f"{place}.when", problems, tag_kinds)


def check_lifecycle(
    lifecycle: Lifecycle, place: str, problems: Problems, *, tag_kinds: Mapping[str, TagKind]
) -> None:
    """Add what is wrong with a life cycle. `tag_kinds` holds tags alone: states follow from
    what is known of a person, not from other states."""
    states, before = lifecycle.states, len(problems)
    for state, count in Counter(states).items():
        if count > 1:
            problems.append((f"{place}.states", f"{state!r} stands there {count} times"))
    if ANY in states:
        problems.append((f"{place}.states", f"{ANY!r} means every state: call this one otherwise"))
    if lifecycle.initial is not None and lifecycle.initial not in states:
        problems.append((f"{place}.initial", f"{lifecycle.initial!r} is none of the states"))
    for number, one in enumerate(lifecycle.transitions):
        at = f"{place}.transitions[{number}]"
        if one.to not in states:
            problems.append((f"{at}.to", f"{one.to!r} is none of the states"))
        for state in () if one.from_ == ANY else one.from_:
            if state not in states:
                problems.append((f"{at}.from", f"{state!r} is none of the states"))
            elif state == one.to:
                problems.append((f"{at}.from", f"{state!r} is where it leads to"))
        _check_when(one.when, f"{at}.when", problems, tag_kinds)
    if len(problems) == before:
        reached = {lifecycle.initial, *(one.to for one in lifecycle.transitions)}
        problems += [
            (f"{place}.states", f"no transition leads to {state!r}")
            for state in dict.fromkeys(states)
            if state not in reached
        ]


def _check_when(
    condition: Condition, place: str, problems: Problems, tag_kinds: Mapping[str, TagKind]
) -> None:
    before = len(problems)
    check_condition(condition, place, problems, tag_kinds=tag_kinds)
    if len(problems) == before:
        refuse_properties(condition, place, problems)


def refuse_properties(condition: Condition, place: str, problems: Problems) -> None:
    """Refuse what a condition of people cannot speak of."""
    if condition.property is not None:
        problems.append((f"{place}.property", "there is no event here: ask for tags and traits"))
    for name, parts in (("all", condition.all_), ("any", condition.any_)):
        for number, part in enumerate(parts or ()):
            refuse_properties(part, f"{place}.{name}[{number}]", problems)
    if condition.not_ is not None:
        refuse_properties(condition.not_, f"{place}.not", problems)
