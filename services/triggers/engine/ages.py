"""Ages: whole years since the date of a trait, as the person's own calendar counts them."""

from datetime import timedelta
from typing import Any, Final

from services.contracts.time import MINUTE, Micros
from services.triggers.engine.clauses import lookup
from services.triggers.engine.dates import anniversary, date_of
from services.triggers.engine.limits import NEVER
from services.triggers.engine.local import (
    EPOCH,
    earliest_anywhere,
    instant_of,
    local_of,
    own_calendar,
)
from services.triggers.engine.state import PersonState
from services.triggers.engine.windows import Calendar

AGE_YEARS_MAX: Final = 150
"""Nobody is older: a date that says so is wrong."""
_YEAR_MAX: Final = 2_110
"""No log goes so far."""


class AgeClock:
    """Whole years since the date of a trait, in the person's zone; less than 0 before it."""

    ends = (0, AGE_YEARS_MAX + 1)

    def __init__(self, trait: str, calendar: Calendar) -> None:
        self._trait = trait
        self._calendar = calendar

    def read(self, state: PersonState, now: Micros) -> Any:
        """The age: null before the date, and where nobody is so old."""
        years = self.value(state, now)
        return years if years is not None and 0 <= years <= AGE_YEARS_MAX else None

    def value(self, state: PersonState, at: Micros) -> int | None:
        """One more from the first instant of each birthday on."""
        born = date_of(lookup(state.traits, self._trait))
        if born is None:
            return None
        zone = own_calendar(state, self._calendar).zone
        today = EPOCH + timedelta(days=local_of(zone, at)[0])
        return today.year - born.year - (today < anniversary(born, today.year))

    def reaches(self, state: PersonState, value: int, at: Micros) -> Micros:
        """The birthday's first instant anywhere; once that is over, the one in their zone."""
        born = date_of(lookup(state.traits, self._trait))
        if born is None or born.year + value > _YEAR_MAX:
            return NEVER
        day = (anniversary(born, born.year + value) - EPOCH).days
        anywhere = earliest_anywhere(day, 0)
        if anywhere > at:
            return anywhere
        # Clocks that go back over midnight come to a day twice.
        return max(at + MINUTE, instant_of(own_calendar(state, self._calendar).zone, day, 0))
