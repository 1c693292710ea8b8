"""Rolling tags against the list of all events, and their edges one by one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Tag
from services.contracts.event import Event
from services.contracts.time import DAY, HOUR, MINUTE, SECOND, Micros
from tests.engine import oracle
from tests.engine.build import NOON, PERSON, at, bundle, log_of, tag

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
WINDOWS: list[dict[str, Any]] = [
    {},
    {"window": "1h"},
    {"window": "2h"},
    {"window": "3h"},
    {"window": "7d"},
    {"window": "8d"},
    {"window": "30d"},
    {"window": "3h", "bucket": "90s"},
    {"window": "10d", "bucket": "12h"},
]
EXACT = ["count", "sum", "min", "max", "average", "first", "last", "distinct"]


def test_what_is_inside_the_window_is_always_counted_and_at_most_one_bucket_more() -> None:
    log = log_of(tag("orders", window="24h"))
    log.event(now=at("2026-06-10T12:20:00"))
    assert log.tag("orders", at("2026-06-11T12:20:00")) == 1
    assert log.tag("orders", at("2026-06-11T13:00:00") - 1) == 1
    assert log.tag("orders", at("2026-06-11T13:00:00")) == 0


def test_days_are_civil_days_of_the_workspace() -> None:
    log = log_of(tag("orders", window="8d"), time_zone="Asia/Tokyo")
    log.event(now=at("2026-06-10T23:59:00+09:00"))
    assert log.tag("orders", at("2026-06-19T00:00:00+09:00") - 1) == 1
    assert log.tag("orders", at("2026-06-19T00:00:00+09:00")) == 0


def test_a_late_event_lands_in_its_own_bucket() -> None:
    log = log_of(tag("spend", "sum", window="24h"))
    log.event("order", {"amount": 5}, now=NOON)
    log.event("order", {"amount": 7}, now=NOON, occurred_at=NOON - 20 * HOUR)
    assert log.tag("spend") == 12
    assert log.tag("spend", NOON + 5 * HOUR) == 5
    log.event("order", {"amount": 9}, now=NOON + 6 * HOUR, occurred_at=NOON - 30 * HOUR)
    assert log.tag("spend") == 5


def test_late_events_find_their_bucket_among_others() -> None:
    log = log_of(tag("orders", window="24h"))
    for hours_ago in (9, 3, 6, 0, 6, 9, 8, 3):
        log.event(now=NOON, occurred_at=NOON - hours_ago * HOUR)
    left = [log.tag("orders", NOON + (24 - hours_ago + 1) * HOUR) for hours_ago in (9, 8, 6, 3, 0)]
    assert left == [6, 5, 3, 1, 0]


def test_all_events_of_a_bucket_are_still_there_when_an_older_bucket_left() -> None:
    kinds = ("count", "sum", "average", "min", "max")
    log = log_of(*(tag(f"t_{kind}", kind, window="24h") for kind in kinds))
    log.event("order", {"amount": 100}, occurred_at=NOON - 3 * HOUR)
    for amount in (1, 2, 6):
        log.event("order", {"amount": amount})
    later = NOON + 23 * HOUR
    assert [log.tag(f"t_{kind}", later) for kind in kinds] == [3, 9, 3, 1, 6]


def test_a_profile_shows_values_as_of_its_own_time() -> None:
    kinds = ("count", "sum", "min", "max", "last", "first", "distinct", "average", "top_k")
    log = log_of(*(tag(f"t_{kind}", kind, window="1h") for kind in kinds))
    log.event("order", {"amount": 4})
    log.event("view", now=NOON + 2 * HOUR)
    early, late = (list(profile.tags.values()) for profile in log.out.profiles)
    assert set(map(str, early)) == {"1", "4", "4.0", "[4]"}
    assert [value or None for value in late if value != []] == [None] * 8


def test_of_two_events_at_one_instant_the_first_arrived_is_first_and_the_later_last() -> None:
    log = log_of(tag("earliest", "first"), tag("latest", "last"))
    for amount in (1, 2, 3):
        log.event("order", {"amount": amount}, occurred_at=NOON)
    assert (log.tag("earliest"), log.tag("latest")) == (1, 3)


def test_tenths_add_up() -> None:
    log = log_of(tag("spend", "sum"), tag("mean", "average"))
    for _ in range(3):
        log.event("order", {"amount": 0.1})
    assert (log.tag("spend"), log.tag("mean")) == (0.3, 0.1)


def test_a_window_that_emptied_is_zero_to_the_last_digit() -> None:
    log = log_of(tag("spend", "sum", window="1h"))
    for amount in (0.1, 1e9, 0.7):
        log.event("order", {"amount": amount})
    assert log.tag("spend", NOON + 2 * HOUR) == 0


def test_nothing_is_zero_for_counts_and_sums_and_null_for_the_rest() -> None:
    kinds = [*EXACT, "top_k"]
    log = log_of(*(tag(f"t_{kind}", kind) for kind in kinds))
    log.event("view")
    values = log.out.profiles[0].tags
    assert values == {
        "t_count": 0,
        "t_sum": 0.0,
        "t_distinct": 0,
        "t_min": None,
        "t_max": None,
        "t_average": None,
        "t_first": None,
        "t_last": None,
        "t_top_k": [],
    }


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), float("-inf"), 1e300, 10**16, "12", True, None, [1], {"a": 1}],
)
def test_what_is_no_finite_number_of_sane_size_never_enters_a_sum(value: object) -> None:
    kinds = ("sum", "average", "min", "max")
    log = log_of(*(tag(f"t_{kind}", kind) for kind in kinds))
    log.event("order", {"amount": value})
    log.event("order", {"amount": 3})
    assert [log.tag(f"t_{kind}") for kind in kinds] == [3, 3, 3, 3]
    assert log.out.skipped["tag_value"] == (0 if value is None else 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"a": 1}, "x" * 201])
def test_what_is_no_plain_value_never_becomes_the_last_one(value: object) -> None:
    log = log_of(tag("latest", "last"), tag("earliest", "first"), tag("top", "top_k"))
    log.event("order", {"amount": "good"})
    log.event("order", {"amount": value})
    assert (log.tag("latest"), log.tag("earliest"), log.tag("top")) == ("good", "good", ["good"])


def test_a_tags_own_condition_and_path_decide_what_it_counts() -> None:
    log = log_of(
        tag(
            "german",
            "sum",
            value="cart.total",
            where={
                "all": [
                    {"property": "cart.currency", "op": "eq", "value": "EUR"},
                    {"trait": "country", "op": "eq", "value": "DE"},
                ]
            },
        )
    )
    paid = {"cart": {"total": 10, "currency": "EUR"}}
    log.event("order", paid)
    log.identify({"country": "DE"})
    log.event("order", paid)
    log.event("order", {"cart": {"total": 10, "currency": "USD"}})
    assert log.tag("german") == 10


def test_distinct_is_exact_to_64_and_then_an_estimate_marked_so() -> None:
    log = log_of(tag("products", "distinct"), tag("few", "distinct", value="kind"))
    for number in range(64):
        log.event("order", {"amount": f"sku-{number}", "kind": number % 2})
        log.now += SECOND
    assert log.out.profiles[-1].tags == {"products": 64, "few": 2}
    assert log.out.profiles[-1].approximate == ()
    for number in range(64, 3000):
        log.event("order", {"amount": f"sku-{number}"})
    log.now += SECOND
    log.event("view")
    profile = log.out.profiles[-1]
    assert profile.approximate == ("products",)
    assert 3000 * 0.6 < profile.tags["products"] < 3000 * 1.4


def test_an_estimate_follows_its_window_and_is_exact_again_once_it_emptied() -> None:
    log = log_of(tag("products", "distinct", window="1h"))
    for number in range(500):
        log.event("order", {"amount": number})
    assert log.tag("products") > 64
    log.now += HOUR + MINUTE
    log.event("order", {"amount": "one"})
    assert log.tag("products") == 1
    assert log.out.profiles[-1].approximate == ()


def test_an_estimate_stays_marked_while_values_it_did_not_sample_are_in_the_window() -> None:
    log = log_of(tag("products", "distinct", window="1h"))
    for number in range(500):
        log.event("order", {"amount": number})
    # One at a time and long after: most of them are not in the sample, but they are there.
    for number in range(500, 550):
        log.now += 15 * MINUTE
        log.event("order", {"amount": number})
        assert log.out.profiles[-1].approximate == ("products",)
    log.now += HOUR + MINUTE
    log.event("order", {"amount": "one"})
    assert (log.tag("products"), log.out.profiles[-1].approximate) == (1, ())


def test_distinct_tells_1_from_text_1_but_not_from_1_point_0() -> None:
    log = log_of(tag("values", "distinct"))
    for value in (1, 1.0, "1", True, "1"):
        log.event("order", {"amount": value})
    assert log.tag("values") == 3


def test_top_k_weighs_recent_events_more() -> None:
    log = log_of(tag("top", "top_k", k=2, half_life="7d"))
    for _ in range(3):
        log.event("order", {"amount": "old"})
    log.now += 14 * DAY  # the three weigh 0.75 by now
    log.event("order", {"amount": "new"})
    log.event("order", {"amount": "once"}, occurred_at=log.now - DAY)
    assert log.tag("top") == ["new", "once"]
    log.event("order", {"amount": "old"}, occurred_at=log.now - 20 * DAY)  # 0.14 more
    assert log.tag("top") == ["new", "once"]
    log.event("order", {"amount": "old"}, occurred_at=log.now - 14 * DAY)  # 0.25 more
    assert log.tag("top") == ["old", "new"]


def test_top_k_keeps_the_heaviest_within_its_bound() -> None:
    log = log_of(tag("top", "top_k", k=1))
    for number in range(1000):
        log.event("order", {"amount": "favourite" if number % 3 == 0 else f"one-{number}"})
    assert log.tag("top") == ["favourite"]
    [data] = log.state.tags.values()
    assert len(data[2]) == 64


def test_a_value_of_top_k_leaves_with_its_last_event() -> None:
    log = log_of(tag("top", "top_k", window="2h"))
    log.event("order", {"amount": "early"})
    log.now += HOUR
    log.event("order", {"amount": "late"})
    assert log.tag("top", NOON + 2 * HOUR + MINUTE) == ["late"]


def test_renaming_a_tag_keeps_its_data() -> None:
    log = log_of(tag("orders", window="30d"))
    log.event()
    log.publish(bundle(tag("orders", name="Orders", window="30d", version=2), revision=2))
    log.event()
    assert log.tag("orders") == 2


@pytest.mark.parametrize("change", [{"window": "8d"}, {"bucket": "1h"}, {"events": ["view"]}])
def test_changing_what_a_tag_aggregates_starts_it_anew(change: dict[str, Any]) -> None:
    log = log_of(tag("orders", window="30d"))
    log.event()
    log.publish(bundle(tag("orders", **{"window": "30d", **change}), revision=2))
    log.event("visit")
    assert log.tag("orders") == 0


amounts = st.one_of(
    st.integers(-50, 50),
    st.integers(-500_000, 500_000).map(lambda cents: cents / 100),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Tag, str, list[tuple[Event, Micros]]]:
    """A tag, a zone, and events in order of arrival, each with the instant to ask after it.

    Times fall where mistakes would hide: at one instant with others, late, at the very edge
    of a bucket leaving its window, around both changes of the clocks.
    """
    one = tag("t", draw(st.sampled_from(EXACT)), **draw(st.sampled_from(WINDOWS)))
    zone = draw(st.sampled_from(ZONES))
    now = at(draw(st.sampled_from(["2026-03-27T10:00:00", "2026-10-24T10:00:00", "2026-06-10"])))
    step = draw(st.sampled_from([MINUTE, HOUR, DAY]))
    history: list[tuple[Event, Micros]] = []
    for number in range(draw(st.integers(1, 20))):
        now += draw(st.integers(0, 3 * step))
        times = [now, now - draw(st.integers(0, 9 * step))]
        times += [event.occurred_at for event, _ in history[-3:]]
        event = Event(
            person=PERSON,
            type="track",
            name=draw(st.sampled_from(["order", "order", "order", "view"])),
            message_id=f"m-{number}",
            occurred_at=draw(st.sampled_from(times)),
            received_at=now,
            properties=draw(
                st.one_of(st.just({}), st.builds(lambda amount: {"amount": amount}, amounts))
            ),
        )
        asks = [now, now + draw(st.integers(0, 2 * step))]
        if one.window is not None:
            for earlier in [event, *(event for event, _ in history)]:
                edge = oracle.leaves_at(one, earlier.occurred_at, zone)
                asks += [ask for ask in (edge - 1, edge) if now <= ask <= now + 20 * step]
        now = draw(st.sampled_from(asks))
        history.append((event, now))
    return one, zone, history


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(histories(), st.booleans())
def test_tags_equal_the_oracle_to_the_bucket(
    given_history: tuple[Tag, str, list[tuple[Event, Micros]]], reload: bool
) -> None:
    one, zone, history = given_history
    log = log_of(one, time_zone=zone)
    log.reload = reload
    arrived: list[Event] = []
    for event, asked in history:
        log.event(
            event.name,
            event.properties,
            now=event.received_at,
            occurred_at=event.occurred_at,
            id_=event.message_id,
        )
        arrived.append(event)
        told, wanted = log.tag("t", asked), oracle.tag_value(one, arrived, asked, zone)
        if isinstance(wanted, float):
            wanted = pytest.approx(wanted, abs=2e-6)
        assert told == wanted
