"""The kill switch: what was commanded already is held, not lost and not failed."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from services.contracts.codec import encode_json
from services.contracts.definitions import DefinitionRecord, definition_key
from services.contracts.time import SECOND
from services.contracts.topics import DEFINITIONS
from services.dispatcher.stops import Stops, StopsReader
from services.runtime.kafka import make_producer, topic_name
from services.runtime.metrics import Metrics
from tests.dispatcher.support import (
    ScriptedChannel,
    Stage,
    a_command,
    until,
)
from tests.dispatcher.test_process import process

STOPPED_SECONDS_MAX = 2.0
"""What the kill switch promises."""


def test_all_stops_every_queue_and_a_channel_stops_all_its_endpoints() -> None:
    stops = Stops()
    queues = ("mail", "webhook:crm", "webhook:erp", "sms", "")
    assert not any(map(stops.holds, queues))
    stops.put(everything=False, channels=frozenset({"webhook"}))
    assert [stops.holds(one) for one in queues] == [False, True, True, False, False]
    stops.put(everything=True, channels=frozenset())
    assert all(map(stops.holds, queues))
    assert stops.names == ["all"]


def test_only_a_change_is_told() -> None:
    stops, told = Stops(), list[int]()
    stops.on_change.append(lambda: told.append(1))
    stops.put(everything=False, channels=frozenset())
    assert told == []
    stops.put(everything=True, channels=frozenset())
    stops.put(everything=True, channels=frozenset())
    assert told == [1]


async def publish(stage: Stage, *values: bytes | None, workspace: str = "default") -> None:
    """Put records of the workspace on the topic of definitions."""
    producer = make_producer(stage.settings)
    await producer.start()
    try:
        for value in values:
            key = definition_key("workspace", workspace)
            name = topic_name(stage.settings, DEFINITIONS)
            await producer.send_and_wait(name, value, key=key, partition=0)
    finally:
        await producer.stop()


def record(**definition: Any) -> bytes:
    """The workspace as publishing writes it; fields of later versions among them."""
    return encode_json(
        DefinitionRecord(
            kind="workspace",
            id="default",
            version=1,
            revision=1,
            definition={"id": "default", "a_field_of_tomorrow": 1, **definition},
        )
    )


def reader_of(stage: Stage, stops: Stops) -> StopsReader:
    """A reader whose broker is there."""

    def on_retry(operation: str) -> None:
        raise AssertionError(operation)

    return StopsReader(stage.settings, stops, Metrics(), on_retry)


@pytest.mark.embedded
async def test_what_stands_on_the_topic_holds_before_anything_is_attempted(stage: Stage) -> None:
    await publish(stage, record(), record(stopped_channels=["mail"]), b"no record at all")
    stops = Stops()
    reader = reader_of(stage, stops)
    await reader.load()
    # What cannot be read takes no stop away.
    assert stops.names == ["mail"]
    following = asyncio.create_task(reader.run())
    await publish(stage, record(stopped=True))

    async def all_stopped() -> bool:
        return stops.names == ["all"]

    await until(all_stopped, "the stop")
    await publish(stage, record(stopped=True), workspace="another")
    await publish(stage, record())

    async def none_stopped() -> bool:
        return stops.names == []

    await until(none_stopped, "going on")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await reader.close()


@pytest.mark.embedded
async def test_stopped_sends_wait_in_their_lane_and_go_on(stage: Stage) -> None:
    stops, log, sms = Stops(), ScriptedChannel(), ScriptedChannel()
    stops.put(everything=False, channels=frozenset({"log"}))
    async with stage.dispatching({"log": log, "sms": sms}, stops=stops):
        await stage.produce(a_command(number) for number in range(20))
        await stage.produce(a_command(100 + number, channel="sms") for number in range(5))
        await stage.settled(5)
        assert (len(log.sent), len(sms.sent)) == (0, 5)
        assert (await stage.reader.counts())["pending"] == 20
        stops.put(everything=False, channels=frozenset())
        counts = await stage.settled(25)
    assert (counts["accepted"], len(log.sent)) == (25, 20)


@pytest.mark.embedded
async def test_what_is_stopped_expires_when_its_time_is_over(stage: Stage) -> None:
    stops, log = Stops(), ScriptedChannel()
    stops.put(everything=True, channels=frozenset())
    soon = time.time_ns() // 1000 + SECOND
    async with stage.dispatching({"log": log}, stops=stops):
        await stage.produce([a_command(1, decided_at=soon - SECOND, expires_at=soon)])
        counts = await stage.settled(1)
        stops.put(everything=False, channels=frozenset())
    assert (counts["failed"], log.sent) == (1, [])


@pytest.mark.embedded
async def test_nothing_is_attempted_two_seconds_after_a_stop_in_the_midst_of_sending(
    stage: Stage, tmp_path: Path
) -> None:
    file, sent = tmp_path / "sends.jsonl", 4_000

    def lines() -> int:
        return len(file.read_bytes().splitlines()) if file.exists() else 0

    async with process(stage, tmp_path, dispatcher_log_file=str(file)) as dispatcher:
        await until(dispatcher.ready, "readiness")
        producing = asyncio.create_task(
            stage.produce([a_command(number) for number in range(sent)])
        )

        async def begun() -> bool:
            return lines() > 0

        await until(begun, "the first send")
        await publish(stage, record(stopped=True))
        await producing
        await asyncio.sleep(STOPPED_SECONDS_MAX)
        stopped_at = lines()
        assert stopped_at < sent
        await asyncio.sleep(1.0)
        assert lines() == stopped_at
        assert "cuestream_dispatcher_stopped 1.0" in (await dispatcher.http.get("/metrics")).text
        await publish(stage, record())
        counts = await stage.settled(sent)
        assert (counts["accepted"], lines()) == (sent, sent)
