"""The engine takes people through journeys as the reference does, step by step.

Random nested journeys, told anew, paused and archived on the way; events early, late and at the
very instant; people who leave, move and come to nothing.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Bundle
from services.contracts.time import Micros
from services.triggers.engine import compile_rules
from tests.engine.both import STARTS, Act, both_of
from tests.engine.build import Log
from tests.engine.journeys import TRAITS, acts, histories

LONG = pytest.mark.embedded
"""These need neither broker nor database, but more time than `make check` has."""

of_any_kind = given(histories(), acts, st.sampled_from(STARTS), st.booleans())


def _agree(revisions: list[Bundle], given_acts: list[Act], start: Micros, *, reload: bool) -> None:
    log = Log(rules=compile_rules(revisions[0]), now=start, reload=reload)
    both = both_of(log, revisions[0], TRAITS)
    for act in given_acts:
        both.play(act, revisions)
    both.rest()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@of_any_kind
def test_journeys_go_as_the_reference_goes_them(
    revisions: list[Bundle], given_acts: list[Act], start: Micros, reload: bool
) -> None:
    _agree(revisions, given_acts, start, reload=reload)


@LONG
@settings(max_examples=1_000, deadline=None)
@of_any_kind
def test_many_more_journeys_go_as_the_reference_goes_them(
    revisions: list[Bundle], given_acts: list[Act], start: Micros, reload: bool
) -> None:
    _agree(revisions, given_acts, start, reload=reload)
