"""Two people turn out to be one: who asks, who answers, what is forwarded, what is held."""

from typing import Any

import pytest

from services.contracts.control import Answer, Ask
from services.contracts.decision import Outcome
from services.contracts.time import DAY, HOUR
from services.triggers.engine import encode_state, new_state
from services.triggers.engine import merging as merging_module
from services.triggers.engine.limits import ASKING_MAX
from tests.engine.build import NOON, policy, tag, trigger
from tests.engine.people import ANN, BOB, CAT, DAN, merged, people_of

# Asking.


def test_an_identify_with_both_ids_asks_for_the_anonymous_one() -> None:
    people = people_of()
    people.identify(BOB, ANN)
    assert people.out.hops == [Ask(person=ANN, by=BOB, at=NOON, position=people.state(BOB).applied)]
    assert people.asked(BOB) == [ANN]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "identify", "user_id": BOB},
        {"type": "identify", "anonymous_id": BOB},
        {"type": "track", "user_id": BOB, "anonymous_id": ANN},
        {"type": "group", "user_id": BOB, "anonymous_id": ANN, "group_id": "acme"},
        {"type": "alias", "user_id": BOB, "previous_id": BOB},
        {"type": "alias", "user_id": BOB, "previous_id": ""},
        {"type": "alias", "user_id": BOB, "previous_id": "\x00partition"},
        {"type": "alias", "user_id": BOB, "previous_id": "x" * 257},
    ],
)
def test_nothing_else_links_two_people(fields: dict[str, Any]) -> None:
    people = people_of()
    people.event(BOB, "any", **fields)
    assert people.out.hops == []
    assert people.asked(BOB) == []


def test_whoever_answered_is_not_asked_again_nor_is_one_twice_meanwhile() -> None:
    people = people_of()
    for _ in range(2):
        people.identify(BOB, ANN)
    people.settle()
    people.identify(BOB, ANN)
    assert [type(hop) for hop in people.out.hops] == [Ask, Answer]


def test_a_late_alias_links_too() -> None:
    people = people_of()
    people.event(BOB, "$alias", type="alias", previous_id=ANN, at=NOON - 3 * DAY)
    assert [hop.person for hop in people.out.hops] == [ANN]


def test_a_person_asks_for_a_bounded_number_at_a_time() -> None:
    people = people_of()
    for number in range(ASKING_MAX + 1):
        people.alias(BOB, f"anon-{number}")
    assert len(people.out.hops) == len(people.asked(BOB)) == ASKING_MAX
    people.settle()
    people.alias(BOB, f"anon-{ASKING_MAX}")
    assert people.out.hops[-1].person == f"anon-{ASKING_MAX}"


# Answering.


def test_whoever_is_asked_hands_everything_over_and_is_only_an_address_then() -> None:
    people = people_of(tag("orders"), trigger(when_capped={"action": "defer"}), policy())
    for _ in range(2):
        people.event(ANN, anonymous_id=ANN)
    known = people.state(ANN)
    assert known.sending is not None
    assert known.sending.runs
    people.put(ANN, Ask(person=ANN, by=BOB, at=NOON))
    answer = people.out.hops[-1]
    assert isinstance(answer, Answer)
    assert (answer.person, answer.source, answer.position) == (BOB, ANN, 2 << 16)
    known.applied = 2 << 16
    assert answer.state == encode_state(known)
    address = new_state(ANN)
    address.applied, address.now, address.merged_into = 2 << 16, NOON, BOB
    address.handed_at = NOON
    assert people.state(ANN) == address


def test_the_profile_of_whom_another_took_in_says_who_that_is() -> None:
    people = merged(tag("orders"))
    of_ann = [one for one in people.out.profiles if one.person == ANN]
    assert [one.merged_into for one in of_ann] == [None, BOB]
    assert (of_ann[-1].tags, of_ann[-1].first_seen_at) == ({}, NOON)


def test_one_who_was_never_seen_is_taken_in_and_forwards_from_then_on() -> None:
    people = people_of(tag("orders"))
    people.alias(BOB, ANN)
    people.settle()
    people.event(ANN)
    people.settle()
    assert people.tag(BOB, "orders") == 1
    assert people.state(ANN).merged_into == BOB


def test_the_first_claim_stands() -> None:
    people = merged(tag("orders"))
    people.alias(CAT, ANN)
    people.settle()
    people.event(ANN)
    people.settle()
    assert (people.tag(BOB, "orders"), people.tag(CAT, "orders")) == (2, 0)
    assert people.asked(CAT) == []
    people.alias(CAT, ANN)
    assert people.waiting() == []


def test_an_ask_written_again_is_not_answered_again() -> None:
    people = merged(tag("orders"))
    people.put(ANN, Ask(person=ANN, by=BOB, at=NOON))
    assert people.waiting() == []
    people.put(ANN, Ask(person=ANN, by=BOB, at=NOON + 1))  # asked anew: it was not heard
    people.settle()
    assert people.tag(BOB, "orders") == 1
    assert people.state(BOB).aliases == (ANN,)


def test_a_state_too_large_to_be_handed_over_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging_module, "HANDED_BYTES_MAX", 10)
    people = merged(tag("orders"))
    assert (people.state(ANN).merged_into, people.asked(BOB)) == (None, [])
    assert (people.tag(ANN, "orders"), people.tag(BOB, "orders")) == (1, 0)


# Two who ask each other.


def test_of_two_who_ask_each_other_the_lesser_hands_over() -> None:
    people = people_of(tag("orders"))
    for one, other in ((ANN, BOB), (BOB, ANN)):
        people.event(one)
        people.alias(one, other)
    people.settle()
    assert people.state(ANN).merged_into == BOB
    assert people.tag(BOB, "orders") == 2
    assert people.asked(BOB) == []


def test_an_ask_written_again_of_one_who_was_taken_in_since_takes_nothing_back() -> None:
    people = people_of(tag("orders"))
    for one, other in ((ANN, BOB), (BOB, ANN)):
        people.event(one)
        people.alias(one, other)
    asks = [hop for hop in people.out.hops if isinstance(hop, Ask) and hop.by == ANN]
    people.settle()
    people.put(BOB, asks[0])
    people.settle()
    assert (people.state(ANN).merged_into, people.state(BOB).merged_into) == (BOB, None)
    assert people.tag(BOB, "orders") == 2


def test_whoever_waited_for_one_that_is_another_by_now_hands_over() -> None:
    people = people_of(tag("orders"))
    for name in (ANN, BOB, CAT):
        people.event(name)
    people.alias(ANN, BOB)
    people.alias(BOB, ANN)
    people.deliver(ANN, BOB)  # Bob is greater: he waits for Ann
    people.alias(CAT, ANN)
    people.deliver(CAT, ANN)  # but she goes to Cat, with her ask
    people.settle()
    assert {people.home(name) for name in (ANN, BOB, CAT)} == {CAT}
    assert people.tag(CAT, "orders") == 3
    assert people.asked(CAT) == []


def test_whoever_waits_and_is_asked_by_a_third_lets_nobody_wait() -> None:
    people = people_of(tag("orders"))
    people.alias(ANN, BOB)
    people.alias(BOB, ANN)
    people.deliver(ANN, BOB)
    people.alias(CAT, ANN)
    people.deliver(CAT, ANN)
    people.alias(DAN, BOB)
    people.deliver(DAN, BOB)
    people.settle()
    assert people.home(ANN) == CAT
    assert people.home(BOB) == DAN
    assert people.asked(CAT) == people.asked(DAN) == []


@pytest.mark.parametrize("names", [(ANN, BOB, CAT), (CAT, BOB, ANN), (ANN, BOB, CAT, DAN)])
def test_a_ring_in_which_all_answered_is_stood_for_by_the_least(names: tuple[str, ...]) -> None:
    people = people_of(tag("orders"))
    ring = list(zip(names, (*names[1:], names[0]), strict=True))
    for name, _ in ring:
        people.event(name)
    for name, other in ring:
        people.alias(name, other)
    for name, other in ring:
        people.deliver(name, other)
    assert all(people.state(name).merged_into for name in names)
    for name in names:
        people.event(name)
    people.settle()
    assert {people.home(name) for name in names} == {ANN}
    assert {people.noticed(name) for name in names} == {ANN}
    assert people.tag(ANN, "orders") == 2 * len(names)
    assert people.asked(ANN) == []


# Forwarding.


def test_what_still_comes_under_the_old_id_happens_to_the_person() -> None:
    people = merged(tag("orders"), trigger())
    people.event(ANN, anonymous_id=ANN)
    people.settle()
    assert people.tag(BOB, "orders") == 2
    assert people.outcomes(BOB) == [Outcome.SENT]
    assert people.out.commands[-1].person == BOB
    assert people.out.counts["forwarded"] == 1
    assert people.out.counts["applied"] == 2


def test_a_delivery_for_a_send_of_before_reaches_the_person() -> None:
    people = merged(trigger())
    (command,) = people.out.commands
    people.delivery(ANN, command.send_id)
    people.settle()
    sending = people.state(BOB).sending
    assert sending is not None
    assert (sending.accepted, sending.sends[0].accepted) == (1, True)


def test_hops_that_are_written_again_are_folded_once() -> None:
    people = people_of(tag("orders"))
    people.event(ANN)
    people.alias(BOB, ANN)
    people.deliver(BOB, ANN)
    people.event(ANN, id_="m1")
    people.event(ANN, id_="m2")
    people.crash(ANN)
    assert len(people.links[ANN, BOB]) == 6
    people.settle()
    assert people.tag(BOB, "orders") == 3
    assert people.out.counts["duplicate"] == 0


def test_an_address_forwards_once_what_was_forwarded_to_it_twice() -> None:
    people = merged(tag("orders"))
    people.alias(CAT, BOB)
    people.settle()
    people.keep(ANN)
    people.event(ANN)
    people.crash(ANN)
    people.settle()
    assert people.tag(CAT, "orders") == 2
    assert people.out.counts["duplicate"] == 0


def test_a_chain_of_addresses_leads_to_the_last() -> None:
    people = merged(tag("orders"))
    people.alias(CAT, BOB)
    people.settle()
    people.event(ANN)
    people.settle()
    assert people.tag(CAT, "orders") == 2
    assert people.home(ANN) == CAT
    assert people.state(CAT).aliases == (ANN, BOB)


def test_a_link_that_comes_under_the_old_id_counts() -> None:
    people = merged(tag("orders"))
    people.event(CAT)
    people.identify(ANN, CAT)
    people.settle()
    assert people.home(CAT) == BOB
    assert people.tag(BOB, "orders") == 2


def test_the_person_keeps_their_own_id() -> None:
    people = people_of()
    people.identify(BOB, ANN)
    people.settle()
    people.event("old", user_id="old")
    people.alias(BOB, "old")
    people.settle()
    people.event("old", user_id="old", anonymous_id="device-2")
    people.settle()
    state = people.state(BOB)
    assert (state.user_id, state.anonymous_id) == (BOB, "device-2")


def test_time_does_nothing_to_an_address() -> None:
    people = merged(tag("orders", window="1h"), trigger())
    address = people.state(ANN)
    people.now += DAY
    assert people.wake(ANN) == []
    state = people.state(ANN)
    state.applied = address.applied
    assert state == address


def test_the_clock_of_the_person_is_the_later_of_both() -> None:
    people = people_of(tag("orders"))
    people.now = NOON + HOUR
    people.event(ANN)
    people.now = NOON
    people.alias(BOB, ANN)
    people.settle()
    assert people.state(BOB).now == NOON + HOUR
