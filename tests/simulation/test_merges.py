"""The auditor notices what goes wrong when people are merged."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from services.contracts.control import Answer
from services.triggers.engine import PersonState, decode_state, encode_state
from services.triggers.worker.engine_port import Engine, triggers_engine
from tests.simulation.auditor import problems_of
from tests.simulation.run import Ran, simulate
from tests.simulation.unions import of_maker
from tests.simulation.world import EVENTS

SEEDS = range(7, 60)


def _hops(ran: Ran) -> int:
    return sum(of_maker(row) is not None for rows in ran.world.topics[EVENTS] for row in rows)


def _handing_over(change: Any) -> Engine:
    """An engine that takes in what is left after a change of the state."""
    engine = triggers_engine("default")

    def apply_answer(state: Any, answer: Answer, rules: Any, now: int, out: Any) -> None:
        if answer.state is not None:
            handed = decode_state(answer.state)
            change(handed)
            answer = msgspec.structs.replace(answer, state=encode_state(handed))
        engine.apply_answer(state, answer, rules, now, out)

    return replace(engine, apply_answer=apply_answer)


def _without_sends(handed: PersonState) -> None:
    if handed.sending is not None:
        handed.sending.sends.clear()


def _without_runs(handed: PersonState) -> None:
    if handed.sending is not None:
        handed.sending.runs.clear()


def _without_tags(handed: PersonState) -> None:
    handed.tags.clear()


def _unheld() -> Engine:
    """An engine that does not wait for anybody."""
    engine = triggers_engine("default")

    def decide(state: PersonState, event: Any, rules: Any, now: int, out: Any) -> None:
        kept, state.asking = state.asking, []
        engine.decide(state, event, rules, now, out)
        state.asking = [*kept, *state.asking]

    return replace(engine, decide=decide)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "noticed"),
    [
        (_handing_over(_without_sends), "merged: cap "),
        (_handing_over(_without_runs), "neither ended nor waits"),
        (_handing_over(_without_tags), "the events say"),
        (_unheld(), "were asked for"),
    ],
    ids=["without-sends", "without-runs", "without-tags", "unheld"],
)
def test_the_auditor_notices_an_engine_that_forgets_who_they_were(
    engine: Engine, noticed: str
) -> None:
    found = (problem for seed in SEEDS for problem in problems_of(simulate(seed, engine)))
    assert any(noticed in problem for problem in found)


def test_the_auditor_notices_a_hop_that_is_lost() -> None:
    ran = next(ran for seed in SEEDS if _hops(ran := simulate(seed)))
    for rows in ran.world.topics[EVENTS]:
        values = [row.value for row in rows]
        for row in rows:
            if of_maker(row) is not None and values.count(row.value) == 1:
                rows.remove(row)
                assert any("hops of" in problem for problem in problems_of(ran))
                return
    pytest.fail("no hop that stands once")
