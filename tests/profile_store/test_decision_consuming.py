"""The consumer of decisions over a broker and a database: each is counted once."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import generate_latest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.decision import Decision
from services.contracts.topics import DEAD_LETTERS, DECISIONS
from services.profile_store.consuming import Consuming, Store
from services.profile_store.decision_intake import DecisionIntake
from services.profile_store.decision_postgres import PostgresDecisions
from services.profile_store.main import DECISIONS_GROUP
from services.profile_store.sensitive import Sensitive
from services.profile_store.storing import Record
from services.runtime.clock import WallClock
from services.runtime.dead_letters import send_dead_letter
from services.runtime.kafka import create_topics, make_consumer, make_producer, topic_name
from services.runtime.metrics import Metrics
from services.runtime.settings import KafkaSettings
from tests.profile_store.test_decision_log import ALWAYS, decision

pytestmark = pytest.mark.embedded


class Crash(Exception):
    """The process dies here."""


async def test_decisions_are_counted_once_over_crashes_and_bad_records(
    kafka_settings: KafkaSettings, engine: AsyncEngine
) -> None:
    await create_topics(kafka_settings, [DECISIONS, DEAD_LETTERS])
    log, metrics, producer = PostgresDecisions(engine), Metrics(), make_producer(kafka_settings)
    intake = DecisionIntake(
        log,
        lambda letter: send_dead_letter(producer, kafka_settings, letter),
        metrics,
        clock=WallClock(),
        shown=Sensitive().masked_decision,
    )

    def consuming(store: Store) -> Consuming:
        consumer = make_consumer(kafka_settings, group=DECISIONS_GROUP)
        return Consuming(consumer, topic_name(kafka_settings, DECISIONS), store, metrics, 10)

    async def store_and_die(records: Sequence[Record]) -> None:
        await intake.store(records)
        raise Crash

    def value(one: Decision | bytes) -> bytes:
        return one if isinstance(one, bytes) else encode_json(one)

    await producer.start()
    made = [decision(event_id=str(number)) for number in range(45)]
    values: list[Decision | bytes] = [*made[:20], b"no decision", *made[20:]]
    for one in values:
        name = topic_name(kafka_settings, DECISIONS)
        await producer.send_and_wait(name, value(one), key=b"ana", partition=0)
    stop = asyncio.Event()
    for _ in range(2):
        with pytest.raises(Crash):
            await consuming(store_and_die).run(stop)
    running = asyncio.create_task(consuming(intake.store).run(stop))
    async with asyncio.timeout(30):
        while len(await log.of_people(["ana"], trigger=None, limit=99, before=None)) < 45:  # noqa: ASYNC110  (another task)
            await asyncio.sleep(0.02)
    stop.set()
    await running
    await producer.stop()
    assert [one.decisions for one in await log.counts(trigger=None, **ALWAYS)] == [45]
    shown = generate_latest(metrics.registry).decode()
    assert 'cuestream_decision_log_total{outcome="written"} 45.0' in shown
    assert 'code="bad_decision"' in shown
