"""The dispatcher over a real broker and a real ledger."""

import asyncio

import pytest

from services.contracts.codec import encode_json
from services.dispatcher.channels.port import Accepted, Delayed, Message, Outcome, Refused, Unknown
from services.runtime.kafka import partition_of
from services.runtime.metrics import Metrics
from tests.dispatcher.support import ScriptedChannel, Stage, a_command, a_send_id, until

pytestmark = pytest.mark.embedded


async def test_every_command_has_its_effect_and_its_delivery_once(stage: Stage) -> None:
    channel = ScriptedChannel()
    await stage.produce(a_command(number) for number in range(300))
    async with stage.dispatching({"log": channel}):
        counts = await stage.settled(300)
    assert counts["accepted"] == 300
    assert sorted(message.send_id for message in channel.sent) == sorted(map(a_send_id, range(300)))
    assert channel.sent[0].subject == "Hi Ann"
    deliveries = await stage.deliveries()
    assert {delivery.send_id for delivery in deliveries} == set(map(a_send_id, range(300)))
    assert {delivery.status for delivery in deliveries} == {"accepted"}
    assert len(deliveries) == 300
    assert await stage.committed() == 300
