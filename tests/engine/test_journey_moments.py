"""Journeys among each other in one moment: places in a group, and whose turn it is."""

from services.contracts.decision import Outcome
from services.contracts.time import HOUR
from tests.engine.build import NOON, trigger
from tests.engine.on_journey import MAIL, SEND, journey, told, underway, wait


def test_a_run_that_has_come_to_its_next_send_keeps_its_place_in_the_group() -> None:
    trip = journey(wait("1h"), MAIL, SEND, id_="a_trip", group="g")
    log = underway(trip, trigger("b", group="g", entry={"events": ["view"]}))
    log.identify({"consent": {"mail": False}}, now=NOON)
    log.event("cart")
    decisions = log.event("view", now=NOON + HOUR)
    assert [one.trigger for one in decisions if one.outcome is Outcome.ARBITRATION] == ["b"]
    assert told([one for one in decisions if one.trigger == "a_trip"]) == [
        (0, "stepped"),
        (1, "consent"),
        (2, "sent"),
        (2, "ended"),
    ]
