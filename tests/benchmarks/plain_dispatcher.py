"""The rival: a dispatcher that awaits each command's steps one after the other.

`python -m tests.benchmarks.plain_dispatcher URL`. It promises what ours does: a ledger row before
the effect and one after it, the delivery acknowledged, and only then the offset.
"""

import asyncio
import sys

from sqlalchemy import text

from services.contracts.codec import encode_json
from services.contracts.delivery import Delivery
from services.contracts.topics import COMMANDS, EVENTS
from services.dispatcher.channels.port import Accepted
from services.dispatcher.channels.webhook import WebhookChannel
from services.dispatcher.commands import compose, decode_command
from services.runtime.database import make_engine
from services.runtime.kafka import make_consumer, make_producer, topic_name
from services.runtime.settings import DatabaseSettings, KafkaSettings, load

INSERT = text("INSERT INTO plain (send_id, state) VALUES (:id, 'sending') ON CONFLICT DO NOTHING")
UPDATE = text("UPDATE plain SET state = 'accepted' WHERE send_id = :id")
TABLE = text("CREATE TABLE IF NOT EXISTS plain (send_id uuid PRIMARY KEY, state text NOT NULL)")


async def main(url: str, key: bytes) -> None:
    """Dispatch until ended."""
    settings = load(KafkaSettings)
    engine = make_engine(load(DatabaseSettings))
    async with engine.begin() as connection:
        await connection.execute(TABLE)
    channel = WebhookChannel(
        url=url, keys=[key], timeout_seconds=10, private_allowed=True, connections_max=10
    )
    consumer = make_consumer(settings, COMMANDS, group="plain")
    producer = make_producer(settings)
    await consumer.start()
    await producer.start()
    events = topic_name(settings, EVENTS)
    async for record in consumer:
        command = decode_command(record.value)
        async with engine.begin() as connection:
            await connection.execute(INSERT, {"id": command.send_id})
        outcome = await channel.send(compose(command))
        assert isinstance(outcome, Accepted), outcome
        async with engine.begin() as connection:
            await connection.execute(UPDATE, {"id": command.send_id})
        delivery = Delivery(
            send_id=command.send_id,
            person=command.person,
            trigger=command.trigger,
            channel=command.channel,
            status="accepted",
            attempts=1,
            received_at=command.decided_at,
        )
        await producer.send_and_wait(events, encode_json(delivery), key=command.person.encode())
        await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], b"k" * 32))
