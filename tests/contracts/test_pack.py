"""A pack joined from encoded events is the pack encoded at once."""

import pytest

from services.contracts.codec import decode_pack, encode_event, encode_pack, join_pack
from services.contracts.event import PACK_EVENTS_MAX, Event


def event(n: int) -> Event:
    return Event(
        person=f"u-{n}",
        type="track",
        name="Product Added",
        message_id=f"m-{n}",
        occurred_at=n,
        received_at=n,
        properties={"n": n, "text": "é" * n},
    )


@pytest.mark.parametrize("count", [0, 1, 15, 16, PACK_EVENTS_MAX])
def test_a_joined_pack_is_the_encoded_pack(count: int) -> None:
    events = [event(n) for n in range(count)]
    joined = join_pack([encode_event(one) for one in events])
    assert joined == encode_pack(events)
    assert decode_pack(joined) == events
