"""Whoever is forgotten is in no sample of a backtest, and its counts stay."""

from tempfile import TemporaryFile
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.command import Erased
from services.contracts.control import Erase
from services.contracts.topics import EVENTS, KIND_ERASE, KIND_HEADER
from services.runtime.kafka import create_topics, make_producer, topic_name
from services.runtime.settings import KafkaSettings
from services.triggers.backtest.erasing import erasures_of
from services.triggers.backtest.history import read_events_topic
from services.triggers.backtest.jobs import Ended
from services.triggers.backtest.jobs_postgres import PostgresJobs
from services.triggers.backtest.spool import Spool
from tests.triggers.test_jobs import NOW, job

pytestmark = pytest.mark.embedded

ODD = 'ann "\0" 安'


def report(*people: str) -> dict[str, Any]:
    """A report with a sample of each, as the child process tells it."""
    samples = [{"reached": True, "explanation": {"person": one}} for one in people]
    return {"people": 9, "odd": "\0", "samples": samples}


async def ended(jobs: PostgresJobs, id_: str, started_at: int, *people: str) -> None:
    """A backtest that was run then."""
    await jobs.add(job(id_))
    await jobs.claim("me", started_at)
    done = Ended(status="done", report=report(*people))
    assert await jobs.end(id_, "me", done, started_at + 1)


async def people_of(jobs: PostgresJobs, id_: str) -> list[str]:
    found = (await jobs.get(id_)).report
    assert found is not None
    assert found["people"] == 9
    return [one["explanation"]["person"] for one in found["samples"]]


@pytest.mark.parametrize("person", ["ann", ODD])
async def test_samples_of_a_person_go_and_are_counted(engine: AsyncEngine, person: str) -> None:
    jobs, erasures = PostgresJobs(engine), erasures_of(engine)
    await ended(jobs, "a", NOW, person, "bob", person)
    await ended(jobs, "b", NOW, "bob", "annie")
    await ended(jobs, "c", NOW + 9, person)
    await erasures.erase(Erased(person=person, request="r0", at=NOW + 5))
    (receipt,) = await erasures.receipts("r0")
    assert receipt.deleted == {"backtest_samples": 2}
    assert await people_of(jobs, "a") == ["bob"]
    assert await people_of(jobs, "b") == ["bob", "annie"]
    assert await people_of(jobs, "c") == [person]


async def test_what_a_running_backtest_brings_late_is_swept(engine: AsyncEngine) -> None:
    jobs, erasures = PostgresJobs(engine), erasures_of(engine)
    await jobs.add(job("a"))
    await jobs.claim("me", NOW)
    await erasures.erase(Erased(person="ann", request="r1", at=NOW + 5))
    await jobs.end("a", "me", Ended(status="done", report=report("ann", "bob")), NOW + 10)
    assert await erasures.sweep() == 1
    assert await people_of(jobs, "a") == ["bob"]
    async with engine.connect() as connection:
        receipts = await connection.execute(text("SELECT deleted FROM triggers.erasures"))
        assert receipts.scalars().all() == [{"backtest_samples": 0}]


async def test_a_backtest_over_the_topic_leaves_out_who_was_forgotten_there(
    kafka_settings: KafkaSettings,
) -> None:
    settings = kafka_settings.model_copy(update={"partitions": 1})
    await create_topics(settings, [EVENTS])
    producer = make_producer(settings)
    await producer.start()

    async def put(person: str, number: int) -> None:
        message = {"type": "track", "event": "e", "userId": person, "messageId": str(number)}
        await producer.send_and_wait(
            topic_name(settings, EVENTS), encode_json(message), key=person.encode(), partition=0,
            timestamp_ms=number,
        )  # fmt: skip

    erase = encode_json(Erase(person="ann", request="r", at=2_000_000))
    try:
        for number, person in ((1000, "ann"), (1001, "bob")):
            await put(person, number)
        await producer.send_and_wait(
            topic_name(settings, EVENTS), erase, key=b"ann", partition=0, timestamp_ms=3000,
            headers=[(KIND_HEADER, KIND_ERASE)],
        )  # fmt: skip
        await put("ann", 4000)
    finally:
        await producer.stop()
    with TemporaryFile() as file:
        spool = Spool(file)
        await read_events_topic(settings, spool, None, lambda share, events: None)
        spool.close()
        assert [one.message_id for _, one in spool.read()] == ["1001", "4000"]
