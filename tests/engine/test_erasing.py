"""Erasing: nothing of before is left in a state, and nothing of it goes out."""

from services.contracts.command import Erased
from services.contracts.control import Erase
from services.triggers.engine import apply_erase, encode_state, is_nobody, new_state
from tests.engine.build import NOON, PERSON, log_of, tag, trigger

REQUEST = Erase(person=PERSON, request="r1", at=NOON + 5)


def test_only_the_id_and_the_place_in_the_log_are_left() -> None:
    log = log_of(tag("orders"), trigger())
    log.identify({"email": "ada@example.com"})
    log.event("order", {"amount": 5})
    log.state.applied = 77
    apply_erase(log.state, REQUEST, log.rules, NOON + 5, log.out)
    blank = new_state(PERSON)
    blank.applied = 77
    assert encode_state(log.state) == encode_state(blank)
    assert is_nobody(log.state)


def test_what_was_concluded_and_not_written_yet_never_is() -> None:
    log = log_of(trigger())
    log.event("order")
    assert log.out.commands
    apply_erase(log.state, REQUEST, log.rules, NOON + 5, log.out)
    told = Erased(person=PERSON, request="r1", at=NOON + 5)
    assert (log.out.commands, log.out.decisions, log.out.profiles) == ([], [], [])
    assert log.out.notices == [told]


def test_who_comes_back_begins_anew() -> None:
    log = log_of(tag("orders"), trigger(reentry={"mode": "once"}))
    log.event("order")
    apply_erase(log.state, REQUEST, log.rules, NOON + 5, log.out)
    log.event("order", now=NOON + 10)
    assert not is_nobody(log.state)
    assert log.tag("orders") == 1
    assert len(log.out.commands) == 1
