"""Instants convert exactly, and those no calendar has are refused one way."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.time import from_micros, to_micros

FIRST = to_micros(datetime.min.replace(tzinfo=UTC))
LAST = to_micros(datetime.max.replace(tzinfo=UTC))


@given(st.integers(FIRST, LAST))
def test_an_instant_comes_back_to_the_microsecond(at: int) -> None:
    assert to_micros(from_micros(at)) == at


@pytest.mark.parametrize("at", [FIRST - 1, LAST + 1, 10**18, -(10**18), 10**40])
def test_an_instant_outside_the_calendar_overflows(at: int) -> None:
    with pytest.raises(OverflowError):
        from_micros(at)
