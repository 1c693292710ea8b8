"""A segment and a life cycle for a run, and a trigger for what becomes of them."""

from random import Random

import msgspec

from services.contracts.definitions import AnyDefinition
from tests.engine.build import lifecycle, segment, trigger


def draw_groups(random: Random) -> tuple[AnyDefinition, ...]:
    """A segment and a life cycle, in half of the runs, and a trigger for what becomes of them.

    Drawn beside the run's own chance: whatever else a seed gives stays as it was.
    """
    chance = Random()
    chance.setstate(random.getstate())
    if chance.random() < 0.5:
        return ()
    over = {"tag": "orders", "op": "gte", "value": chance.choice([1, 2])}
    stages = lifecycle(
        "stage",
        ["none", "some", "spent"],
        {"from": ["none"], "to": "some", "when": over},
        {"to": "spent", "when": {"tag": "spent", "op": "gte", "value": 100}},
        {"from": ["some"], "to": "none", "when": {"not": over}},
    )
    events = chance.choice([["$segment_entered"], ["$segment_left", "$lifecycle_changed"]])
    told = trigger("told", entry={"events": events}, exit={"events": ["$segment_left"]})
    return segment("buyers", over), stages, msgspec.structs.replace(told, version=1)
