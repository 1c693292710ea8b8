"""Civil days, weeks and months of any zone, found by absolute instants."""

from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.time import DAY, HOUR, Micros
from services.triggers.engine.windows import Calendar, calendar_of, default_bucket, known_zones
from tests.engine import oracle
from tests.engine.build import at

TRICKY = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Africa/Cairo",
    "Asia/Beirut", "America/Havana", "Atlantic/Azores", "Australia/Lord_Howe", "Pacific/Apia",
    "Asia/Kathmandu", "America/Scoresbysund",
]  # fmt: skip


@given(
    st.sampled_from(TRICKY),
    st.integers(at("1990-01-01"), at("2060-01-01")),
    st.sampled_from(["day", "week", "month"]),
)
def test_a_period_holds_its_instant_and_begins_where_the_last_one_ended(
    zone: str, now: Micros, unit: str
) -> None:
    calendar = calendar_of(zone)
    begins, ends = calendar.period(unit, now)
    assert begins <= now < ends
    name = oracle.period_name(unit, now, zone)
    assert oracle.period_name(unit, begins, zone) == name
    assert oracle.period_name(unit, ends, zone) != name
    assert calendar.period(unit, ends)[0] == ends
    assert oracle.period_name(unit, begins - 1, zone) != name


@given(st.sampled_from(TRICKY), st.lists(st.integers(at("1990-01-01"), at("2060-01-01")),
                                          min_size=1, max_size=20))  # fmt: skip
def test_the_day_of_an_instant_is_its_local_date_whatever_was_asked_before(
    zone: str, moments: list[Micros]
) -> None:
    calendar = Calendar(zone)
    for moment in moments:
        assert calendar.day_of(moment) == oracle.local(moment, zone).date().toordinal() - 719_163


def test_a_date_that_a_zone_skipped_is_nobodys_day() -> None:
    # Samoa went from the 29th to the 31st of December 2011.
    calendar = Calendar("Pacific/Apia")
    change = at("2011-12-30T10:00:00")
    before, after = calendar.day_of(change - 1), calendar.day_of(change)
    assert after == before + 2
    assert calendar.start_of(after) == change == calendar.start_of(before + 1)


@pytest.mark.parametrize("moment", [-62_135_596_800_000_000, -1, 0, at("2099-12-31T23:59:59")])
def test_far_away_instants_still_have_a_day(moment: Micros) -> None:
    day = Calendar("Asia/Tokyo").day_of(moment)
    assert abs(day - moment // DAY) <= 1


def test_all_zones_of_the_database_are_known_and_nothing_else() -> None:
    assert known_zones() == available_timezones()
    assert "Mars/Base" not in known_zones()


@pytest.mark.parametrize(
    ("window", "bucket"),
    [(HOUR, HOUR // 60), (2 * HOUR, HOUR // 60), (2 * HOUR + 1, HOUR), (7 * DAY, HOUR),
     (7 * DAY + 1, DAY)],
)  # fmt: skip
def test_buckets_grow_with_the_window(window: int, bucket: int) -> None:
    assert default_bucket(window) == bucket
