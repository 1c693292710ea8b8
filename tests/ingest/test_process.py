"""The process: ready, serving, losing Kafka, and stopping without losing what it took."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import msgspec
import pytest

from services.contracts.deadletter import DeadLetter
from services.runtime.embedded import EmbeddedBroker
from services.runtime.settings import KafkaSettings
from tests.ingest.running import (
    KEY,
    RunningIngest,
    make_topics,
    read_dead_letters,
    read_events,
)
from tests.ingest.support import track
from tests.support.processes import wait_until


async def test_events_sent_by_http_stand_on_the_topic_in_order(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    await make_topics(kafka_settings)
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        async with httpx.AsyncClient(auth=(KEY, ""), base_url=ingest.url) as client:
            for start in range(0, 300, 100):
                messages = [track(n % 7, messageId=f"{n:03}") for n in range(start, start + 100)]
                messages.append({"type": "walk", "userId": "u"})
                answer = await client.post("/v1/batch", json={"batch": messages})
                assert (answer.status_code, answer.json()["accepted"]) == (200, 100)
        events = await read_events(kafka_settings, 300)
        assert len(events) == 300
        for person in {event.person for event in events}:
            ids = [event.message_id for event in events if event.person == person]
            assert ids == sorted(ids)
        letters = await read_dead_letters(kafka_settings, 3)
        assert {msgspec.json.decode(one, type=DeadLetter).code for one in letters} == {
            "unknown_type"
        }
        status, page = ingest.get("/metrics")
        assert status == 200
        assert 'cuestream_ingest_events_total{outcome="accepted"} 300.0' in page


async def test_it_is_alive_but_not_ready_until_the_topics_exist(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        wait_until(lambda: "missing" in ingest.get("/readyz")[1], "a word on the topics")
        assert ingest.get("/readyz")[0] == 503
        assert ingest.get("/healthz")[0] == 200
        async with httpx.AsyncClient(auth=(KEY, ""), base_url=ingest.url) as client:
            answer = await client.post("/v1/track", json=track(1))
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            await make_topics(kafka_settings)
            ingest.wait_ready()
            assert (await client.post("/v1/track", json=track(1))).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_finishes_what_was_taken_and_ends_with_0(
    kafka_settings: KafkaSettings, tmp_path: Path, number: signal.Signals
) -> None:
    await make_topics(kafka_settings)
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        accepted = 0
        async with httpx.AsyncClient(auth=(KEY, ""), base_url=ingest.url) as client:

            async def send(lane: int) -> None:
                nonlocal accepted
                for n in range(10_000):
                    batch = [track(lane, messageId=f"{lane}-{n}-{m}") for m in range(20)]
                    try:
                        answer = await client.post("/v1/batch", json={"batch": batch})
                    except httpx.TransportError:
                        return
                    if answer.status_code != 200:
                        return
                    accepted += 20
                    # Once: at its very end a process has no handler left for a second signal.
                    if accepted == 400:
                        ingest.child.signal(number)

            await asyncio.gather(*(send(lane) for lane in range(4)))
        wait_until(lambda: not ingest.child.alive, "its end")
        assert ingest.child.exit_code == 0, ingest.child.log_tail()
    events = await read_events(kafka_settings, accepted)
    assert len({event.message_id for event in events}) >= accepted >= 400


@pytest.mark.embedded
async def test_kafka_gone_in_mid_request_is_a_503_and_never_a_false_200(tmp_path: Path) -> None:
    with EmbeddedBroker(log_dir=tmp_path) as broker:
        kafka = KafkaSettings(kafka=broker.address, kafka_idempotence=False, partitions=4)
        await make_topics(kafka)
        with RunningIngest(
            kafka, tmp_path, ingest_ack_timeout_ms=1000, kafka_request_timeout_ms=2000
        ) as ingest:
            ingest.wait_ready()
            assert broker.child is not None
            assert broker.child.pid is not None
            async with httpx.AsyncClient(auth=(KEY, ""), base_url=ingest.url) as client:
                assert (await client.post("/v1/track", json=track(1))).status_code == 200
                # Stopped, it takes the bytes and answers nothing: the request is in mid-air.
                os.kill(broker.child.pid, signal.SIGSTOP)
                answer = await client.post("/v1/track", json=track(2))
                assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
                os.kill(broker.child.pid, signal.SIGKILL)
                answer = await client.post("/v1/track", json=track(3))
                assert answer.status_code == 503
            page = ingest.get("/metrics")[1]
            assert 'cuestream_ingest_events_total{outcome="accepted"} 1.0' in page
            assert ingest.get("/healthz")[0] == 200


@pytest.mark.embedded
async def test_it_takes_events_again_once_kafka_is_back(tmp_path: Path) -> None:
    with EmbeddedBroker(log_dir=tmp_path) as broker:
        kafka = KafkaSettings(kafka=broker.address, kafka_idempotence=False, partitions=4)
        await make_topics(kafka)
        with RunningIngest(
            kafka, tmp_path, ingest_ack_timeout_ms=500, kafka_request_timeout_ms=1000
        ) as ingest:
            ingest.wait_ready()
            broker.stop()
            async with httpx.AsyncClient(auth=(KEY, ""), base_url=ingest.url) as client:
                assert (await client.post("/v1/track", json=track(1))).status_code == 503
                # The same address, as a broker that was started again has.
                with EmbeddedBroker(log_dir=tmp_path, port=broker.port):
                    await make_topics(kafka)
                    ingest.wait_ready()
                    assert (await client.post("/v1/track", json=track(2))).status_code == 200
                    events = await read_events(kafka, 1)
                    assert "m-2" in {event.message_id for event in events}
