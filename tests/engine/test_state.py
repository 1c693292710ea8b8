"""The state's bytes, its bounds, and when it asks to be woken."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.control import Answer
from services.contracts.errors import Malformed
from services.contracts.time import HOUR, SECOND
from services.contracts.topics import RECORD_BYTES_MAX
from services.triggers.engine import (
    PersonState,
    decode_state,
    encode_state,
    new_state,
    wake_at_of,
)
from services.triggers.engine.limits import (
    ALIASES_MAX,
    ASKING_MAX,
    DEDUP_KEYS_MAX,
    MERGED_MAX,
    NEVER,
    RUNS_BYTES_MAX,
    SHADOW_SENDS_MAX,
    TRAIT_BYTES_MAX,
    TRAITS_BYTES_MAX,
    TRAITS_MAX,
)
from services.triggers.engine.state import (
    OLDEST_VERSION,
    STATE_VERSION,
    Run,
    Sending,
    Sent,
    id_text,
    packed_id,
)
from services.triggers.engine.waits import key_of
from tests.engine.build import NOON, PERSON, bundle, log_of, policy, tag, trigger

instants = st.integers(0, 2**52)
texts = st.text(max_size=8)
event_ids = st.one_of(texts, st.uuids().map(str), st.uuids().map(lambda id_: str(id_).upper()))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), texts,
              st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip
documents = st.dictionaries(texts, json_values, max_size=3)
tag_data = st.one_of(
    st.lists(st.one_of(instants, st.floats(allow_nan=False), st.none(), texts), max_size=6),
    st.tuples(instants, st.integers(0, 9), st.dictionaries(st.integers(0, 2**64 - 1), instants))
    .map(list),
)  # fmt: skip
sendings = st.builds(
    Sending,
    sends=st.lists(
        st.builds(Sent, at=instants, key=st.integers(0, 2**64 - 1), trigger=texts, channel=texts,
                  category=texts, accepted=st.booleans()),
        max_size=3,
    ),
    runs=st.lists(
        st.builds(Run, due_at=instants, expires_at=instants, entered_at=instants,
                  trigger=texts, trigger_version=st.integers(0, 9), event=event_ids.map(packed_id),
                  origin_lag=instants, properties=st.binary(max_size=9), reason=texts,
                  held_out=st.booleans(), waits_after=instants),
        max_size=2,
    ),
    shadow=st.lists(
        st.builds(Sent, at=instants, key=st.integers(0, 2**64 - 1), trigger=texts, channel=texts,
                  category=texts, accepted=st.booleans()),
        max_size=2,
    ),
    dedup_keys=st.dictionaries(st.integers(0, 2**64 - 1), instants, max_size=3),
    entries=st.dictionaries(texts, instants, max_size=3),
)  # fmt: skip
states = st.builds(
    PersonState,
    v=st.just(STATE_VERSION),
    person=texts,
    applied=st.integers(-1, 2**60),
    now=instants,
    wake_at=st.one_of(st.none(), st.integers(1, 2**52)),
    first_seen_at=st.one_of(st.none(), instants),
    changed=st.booleans(),
    user_id=st.one_of(st.none(), texts),
    traits=documents,
    aliases=st.lists(texts, max_size=2).map(tuple),
    seen=st.binary(max_size=36).map(bytearray),
    tags=st.dictionaries(st.integers(0, 2**64 - 1), tag_data, max_size=3),
    sending=st.one_of(st.none(), sendings),
)


@given(states)
def test_a_state_survives_its_bytes_and_equal_states_have_equal_bytes(state: PersonState) -> None:
    data = encode_state(state)
    again = decode_state(data)
    assert again == state
    assert encode_state(again) == data
    assert wake_at_of(data) == state.wake_at


def test_a_new_state_knows_nothing() -> None:
    state = new_state(PERSON)
    assert (state.person, state.applied, state.wake_at) == (PERSON, -1, None)
    assert wake_at_of(encode_state(state)) is None
    assert state.tags is not new_state("other").tags


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\0" * 9, b"\0" * 8 + b"\x91\xc1", b"x" * 40])
def test_bytes_that_are_no_state_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="bad_state"):
        decode_state(data)


def test_a_state_of_a_later_version_is_refused() -> None:
    state = new_state(PERSON)
    state.v = STATE_VERSION + 1
    with pytest.raises(Malformed, match="newer_schema"):
        decode_state(encode_state(state))


def test_a_state_that_would_be_read_as_something_else_is_refused() -> None:
    state = new_state(PERSON)
    state.v = OLDEST_VERSION - 1
    with pytest.raises(Malformed, match="bad_state: state has schema version 1, no longer read"):
        decode_state(encode_state(state))


def test_a_state_of_version_2_is_read_as_what_it_meant() -> None:
    """There, what waits was lists, and what only time concerns stood among the rest."""
    sequence = {"parts": [{"events": ["view"]}, {"events": ["cart"]}], "within": "1h"}
    absence = {"after": {"events": ["view"]}, "without": {"events": ["cart"]}, "within": "2h"}
    leaves = {"events": ["leave"], "key": ["sku"]}
    log = log_of(
        trigger("quick", entry={"sequence": {**sequence, "key": ["sku"]}}, exit=leaves),
        trigger("left", entry={"absence": {**absence, "key": ["sku"]}}, exit=leaves),
        trigger("idle", entry={"inactivity": {"events": ["view"], "lasts": "3d"}}),
        trigger("daily", entry={"schedule": {"cron": "0 9 * * *"}}),
    )
    for number, name in enumerate(("view", "cart", "view")):
        log.event(name, {"sku": "a", "page": number}, now=NOON + number, id_=f"{name}{number}")
    state = log.state
    keys = {rule.trigger.id: key for key, (rule, _) in log.rules.sensors.items()}
    a = key_of({"sku": "a"}, ["sku"])
    old = decode_state(encode_state(state))
    old.v, old.still, old.still_due = 2, b"", NEVER
    old.slots[keys["daily"]] = [NOON + 21 * HOUR]
    old.slots[keys["quick"]][1] = [[NOON + 2, a, 1, a]]
    properties = msgspec.msgpack.encode({"sku": "a", "page": 2})
    old.slots[keys["left"]][1] = {a: [NOON + 2, "view2", a, properties]}
    assert old != state
    assert decode_state(encode_state(old)) == state


@given(st.one_of(event_ids, st.text(alphabet="0123456789abcdef-", min_size=36, max_size=36)))
def test_an_id_is_kept_as_it_was_written(id_: str) -> None:
    assert id_text(packed_id(id_)) == id_


@pytest.mark.parametrize(
    ("id_", "is_short"),
    [
        ("2e05319a-cb5c-4427-bf98-e2774cbd87ad", True),
        ("2E05319A-CB5C-4427-BF98-E2774CBD87AD", False),
        ("2e05319acb5c4427bf98e2774cbd87ad", False),
        ("2e05319acb5c4-427bf-98e27-74cbd-87ad", False),
        ("2e05319acb5c4427bf98e2774cbd87ad    ", False),
        ("2e05319acb5c4427bf98e2774cbd87ad0000", False),
        ("ge05319a-cb5c-4427-bf98-e2774cbd87ad", False),
        ("用e05319a-cb5c-4427-bf98-e2774cbd87ad", False),
        ("0123456789abcdef", False),
        ("", False),
    ],
)
def test_an_id_that_is_a_uuid_takes_little_room(id_: str, is_short: bool) -> None:
    packed = packed_id(id_)
    assert id_text(packed) == id_
    assert (isinstance(packed, bytes) and len(packed) == 16) == is_short
    assert isinstance(packed, bytes) == is_short


def test_bytes_written_before_a_field_was_added_stay_readable() -> None:
    state = new_state(PERSON)
    whole = msgspec.msgpack.decode(encode_state(state)[8:])
    shorter = b"\0" * 8 + msgspec.msgpack.encode(whole[:-2])
    assert decode_state(shorter) == state


def test_a_restart_makes_no_difference_to_a_long_and_mixed_life() -> None:
    definitions = (
        tag("orders", window="24h"),
        tag("spend", "sum", window="30d"),
        tag("mean", "average", window="1h"),
        tag("kinds", "distinct", value="kind", window="7d"),
        tag("top", "top_k", value="kind"),
        tag("last", "last", value="kind"),
        tag("first", "first", value="kind", window="2h"),
        tag("least", "min", window="3h"),
        trigger(when_capped={"action": "defer"}, dedup={"key": ["kind"], "window": "1h"}),
        policy(limit=2, window="day"),
    )
    logs = [log_of(*definitions), log_of(*definitions)]
    logs[1].reload = True
    for log in logs:
        for number in range(300):
            log.event(
                "order",
                {"amount": number * 7 % 13 / 10, "kind": f"k{number * number % 70}"},
                now=NOON + number * 17 * 60 * SECOND,
                occurred_at=NOON + (number * 17 - number % 5 * 90) * 60 * SECOND,
            )
            if log.out.commands and number % 4 == 0:
                log.delivery(log.out.commands[-1].send_id, "failed" if number % 8 else "accepted")
    assert encode_state(logs[0].state) == encode_state(logs[1].state)
    assert logs[0].out.decisions == logs[1].out.decisions
    assert logs[0].out.profiles == logs[1].out.profiles


def test_traits_are_bounded_in_number_size_and_name() -> None:
    log = log_of()
    log.identify({f"t{number}": number for number in range(TRAITS_MAX + 5)})
    assert len(log.state.traits) == TRAITS_MAX
    log.identify({"t0": "x" * TRAIT_BYTES_MAX, "n" * 101: 1, "": 1, "huge": 2**80})
    assert log.state.traits["t0"] == 0
    assert log.out.skipped["trait"] == 5 + 4
    log.identify({f"t{number}": "y" * 1000 for number in range(TRAITS_MAX)})
    assert len(msgspec.msgpack.encode(log.state.traits)) < TRAITS_BYTES_MAX + 3 * TRAITS_MAX


def test_an_identify_replaces_adds_and_removes_traits() -> None:
    log = log_of()
    log.identify({"name": "Ada", "city": "London"})
    log.identify({"city": None, "plan": "gold"})
    assert log.state.traits == {"name": "Ada", "plan": "gold"}


def test_each_answer_about_consent_stands_until_it_is_given_anew() -> None:
    log = log_of()
    log.identify({"consent": {"marketing": False, "sms": True}})
    log.identify({"consent": {"mail": False}})
    assert log.state.traits["consent"] == {"marketing": False, "sms": True, "mail": False}
    log.identify({"consent": {"mail": True, "sms": None}})
    assert log.state.traits["consent"] == {"marketing": False, "sms": None, "mail": True}
    log.identify({"consent": None})
    assert "consent" not in log.state.traits


def test_an_older_identify_that_arrives_later_fills_gaps_only() -> None:
    log = log_of()
    log.identify({"city": "London"}, now=NOON)
    log.identify({"city": "Paris", "name": "Ada"}, now=NOON + 1, occurred_at=NOON - HOUR)
    assert log.state.traits == {"city": "London", "name": "Ada"}


def test_a_group_call_sets_the_group_as_a_trait() -> None:
    log = log_of()
    log.event("$group", type="group", group_id="acme", traits={"employees": 7})
    assert log.state.traits == {"group_id": "acme"}


def test_traits_already_handed_out_do_not_change() -> None:
    log = log_of()
    log.identify({"city": "London"})
    log.identify({"city": "Paris"}, now=NOON + SECOND)
    assert [one.traits["city"] for one in log.out.profiles] == ["London", "Paris"]


def test_the_first_profile_goes_out_at_once_and_the_next_a_second_later() -> None:
    log = log_of(tag("orders"))
    log.event(now=NOON)
    log.event(now=NOON + 1)
    assert [one.as_of for one in log.out.profiles] == [NOON]
    assert log.state.wake_at == NOON + SECOND
    log.wake(NOON + SECOND - 1)
    assert len(log.out.profiles) == 1
    log.wake(NOON + SECOND)
    assert [one.tags["orders"] for one in log.out.profiles] == [1, 2]
    assert log.state.wake_at is None


def test_a_profile_put_off_is_not_forgotten_over_a_restart() -> None:
    log = log_of(tag("orders"))
    log.reload = True
    log.event(now=NOON)
    log.event(now=NOON + 1)
    log.wake(NOON + HOUR)
    assert [one.as_of for one in log.out.profiles] == [NOON, NOON + HOUR]


def test_a_profile_says_where_it_comes_from_and_what_became_of_sends() -> None:
    log = log_of(trigger(), tag("orders"))
    log.out.partition = 5
    log.state.applied = 77 << 16 | 3
    log.event(occurred_at=NOON - HOUR, user_id="ada", anonymous_id="anon")
    log.delivery(log.out.commands[0].send_id, now=NOON + 2 * SECOND)
    first, second = log.out.profiles
    assert (first.source_partition, first.source_offset, first.revision) == (5, 77, 1)
    assert (first.user_id, first.anonymous_id) == ("ada", "anon")
    assert (first.first_seen_at, first.last_seen_at) == (NOON - HOUR, NOON - HOUR)
    assert (first.messages_accepted, second.messages_accepted) == (0, 1)
    assert second.last_message_at == NOON + 2 * SECOND
    assert second.tags == {"orders": 1}


def test_a_person_known_only_by_a_delivery_has_no_profile() -> None:
    log = log_of()
    log.delivery("some-send")
    log.wake(NOON + HOUR)
    assert log.out.profiles == []


def test_a_new_revision_is_shown_by_the_next_profile() -> None:
    log = log_of(tag("orders"))
    log.event(now=NOON)
    log.publish(bundle(tag("orders"), tag("visits", events=["visit"]), revision=2))
    log.wake(NOON + HOUR)
    assert log.out.profiles[-1].tags == {"orders": 1, "visits": 0}
    assert log.out.profiles[-1].revision == 2


@pytest.mark.slow
def test_what_a_person_can_pile_up_stays_below_a_records_limit() -> None:
    defer = {"action": "defer", "expires_after": "300d"}
    log = log_of(
        *(tag(f"t{number}", "first", window="30d", bucket="1h") for number in range(2)),
        *(tag(f"u{number}", "top_k") for number in range(4)),
        trigger(reentry={"mode": "once_per_key"}, dedup={"key": ["key"], "window": "300d"}),
        trigger("waits", priority=1, when_capped=defer),
        trigger("held", priority=0, holdout=100),
        policy("hello_cap", 200, "8d", kind="trigger", value="hello"),
        policy("waits_cap", 1, "300d", kind="trigger", value="waits"),
        policy("held_cap", 200, "300d", kind="trigger", value="held"),
        message_ids_max=4096,
        message_id_window="30d",
    )
    for number in range(760):
        # An event of 32 kB of JSON can be more than twice that in msgpack.
        log.event(
            "order",
            {"amount": f"{number:0>200}", "key": number, "numbers": [0.5] * 8_000},
            now=NOON + number * HOUR,
        )
        # Ids of 200 characters of three bytes each.
        other = f"{number:用>200}"
        log.event("$alias", type="alias", previous_id=other)
        handed = encode_state(new_state(other))
        log.answer(Answer(person=PERSON, source=other, at=NOON, position=1, state=handed))
    for number in range(ASKING_MAX + 1):
        log.event("$alias", type="alias", previous_id=f"{number:人>200}")
    log.identify({f"t{number:0>90}": "x" * 1000 for number in range(50)})
    sending = log.state.sending
    assert sending is not None
    assert len(sending.dedup_keys) == len(sending.once_keys) == DEDUP_KEYS_MAX
    assert len(log.state.aliases) == ALIASES_MAX
    assert len(log.state.merged) == MERGED_MAX
    assert len(log.state.asking) == ASKING_MAX
    assert len(sending.shadow) == SHADOW_SENDS_MAX
    assert len(sending.runs) == RUNS_BYTES_MAX // (9 * 8_000)
    assert RECORD_BYTES_MAX / 2 < len(encode_state(log.state)) < RECORD_BYTES_MAX
