"""What `check` calls unreachable is so on every way that people can take, by trying all of them."""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.steps import Step
from services.triggers.engine import check
from services.triggers.engine.check_steps import all_steps
from tests.engine.build import bundle, trigger

PAID = {"property": "paid", "op": "eq", "value": True}
GOLD = {"trait": "tier", "op": "eq", "value": "gold"}
BOTH = {"all": [PAID, GOLD]}
NEITHER = {"not": {"any": [PAID, GOLD]}}
CONDITIONS = (PAID, GOLD, BOTH, NEITHER, {"not": GOLD})

Known = dict[str, bool]
"""What a way has settled of the two clauses: `paid` for ever, `gold` until time passes."""


def holds(condition: Any, known: Known) -> bool:
    """Evaluate one of the conditions."""
    if "not" in condition:
        return not holds(condition["not"], known)
    for group, every in (("all", True), ("any", False)):
        if group in condition:
            answers = [holds(part, known) for part in condition[group]]
            return all(answers) if every else any(answers)
    return known["paid" if condition is PAID or condition == PAID else "gold"]


def ways(
    steps: tuple[Step, ...], place: str, known: Known, seen: set[str]
) -> Iterator[Known | None]:
    """Walk every way through these steps; None for one that ends. `seen` takes the places."""
    states: list[Known | None] = [known]
    for number, step in enumerate(steps):
        at = f"{place}[{number}]"
        following: list[Known | None] = []
        for state in states:
            if state is None:
                following.append(None)
            else:
                seen.add(at)
                following += through(step, at, state, seen)
        states = [dict(one) for one in {tuple(sorted(one.items())) for one in following if one}]
        if None in following:
            states.append(None)
    yield from states


def through(step: Step, at: str, known: Known, seen: set[str]) -> Iterator[Known | None]:
    """Walk every way through one step."""
    later = [known, {**known, "gold": not known["gold"]}]
    if step.end is not None:
        yield None
    elif step.branch is not None:
        condition = msgspec.to_builtins(step.branch.if_)
        way = "then" if holds(condition, known) else "else"
        seen.add(f"{at}.branch.{way}")
        inner = step.branch.then if way == "then" else step.branch.else_
        yield from ways(inner, f"{at}.branch.{way}", known, seen)
    elif step.wait_for is not None:
        for one in later:
            yield from ways(step.wait_for.then, f"{at}.wait_for.then", one, seen)
            yield from ways(step.wait_for.on_timeout, f"{at}.wait_for.on_timeout", one, seen)
    elif step.split is not None:
        for number, arm in enumerate(step.split.arms):
            yield from ways(arm.steps, f"{at}.split.arms[{number}].steps", known, seen)
    elif step.offer is not None:
        yield known
    else:
        yield from later


def steps_of(inner: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Any]:
    """One step with lists from `inner` in it."""
    return st.one_of(
        st.just({"send": {"channel": "log"}}),
        st.just({"wait": {"for": "1d"}}),
        st.just({"offer": {"kind": "gift", "endpoint": "shop", "reference": "x"}}),
        st.just({"end": {}}),
        st.builds(
            lambda if_, then, else_: {"branch": {"if": if_, "then": then, "else": else_}},
            st.sampled_from(CONDITIONS), inner, inner,
        ),
        st.builds(
            lambda then, timeout: {
                "wait_for": {
                    "events": ["visit"], "within": "1d", "then": then, "on_timeout": timeout,
                }
            },
            inner, inner,
        ),
        st.builds(
            lambda one, other: {
                "split": {"arms": [{"weight": 1, "steps": one}, {"weight": 1, "steps": other}]}
            },
            inner, inner,
        ),
    )  # fmt: skip


LISTS = st.recursive(
    st.lists(st.just({"send": {"channel": "log"}}), max_size=1),
    lambda inner: st.lists(steps_of(inner), max_size=3),
    max_leaves=10,
)


@given(steps=LISTS.filter(bool), audience=st.sampled_from([None, GOLD, PAID]))
def test_what_is_refused_as_unreachable_is_on_no_way(steps: list[Any], audience: Any) -> None:
    made = trigger("t", steps=steps[:20], audience=audience)
    seen: set[str] = set()
    for paid in (False, True):
        for gold in (False, True):
            known = {"paid": paid, "gold": gold}
            if audience is None or holds(audience, known):
                list(ways(made.steps, "steps", known, seen))
    for place, reason in check(bundle(made)):
        at = place.removeprefix("triggers.t.")
        if reason.startswith("never reached"):
            assert at not in seen
        elif "holds here" in reason:
            way = "else" if reason.startswith("always") else "then"
            branch = at.removesuffix(".if")
            reached = branch.removesuffix(".branch") in seen
            assert not reached or f"{branch}.{way}" not in seen
    if not check(bundle(made)) and not any(
        step.branch is not None for _, step in all_steps(made.steps)
    ):
        assert {place for place, _ in all_steps(made.steps)} == seen
