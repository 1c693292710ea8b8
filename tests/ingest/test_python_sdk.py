"""Segment's own Python SDK, unmodified, against the real process."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from segment.analytics import request as sdk_request
from segment.analytics.client import Client

from services.contracts.time import to_micros
from services.runtime.settings import KafkaSettings
from tests.ingest.running import KEY, RunningIngest, make_topics, read_events
from tests.support.processes import wait_until

LONG_AGO = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
Connect = Callable[..., Any]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make clients of the SDK; whatever they report as failed stands in their `.failures`."""
    clients: list[Any] = []

    def make(url: str, **options: Any) -> Any:
        failures: list[tuple[Any, list[Any]]] = []
        given = {"write_key": KEY, "host": url, "upload_interval": 0.05} | options
        client = Client(on_error=lambda error, batch: failures.append((error, batch)), **given)
        client.failures = failures
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.join()
    sdk_request._session.close()


@pytest.mark.parametrize("gzip", [False, True])
def test_the_seven_calls_arrive(
    kafka_settings: KafkaSettings, tmp_path: Path, connect: Connect, gzip: bool
) -> None:
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        client = connect(ingest.url, gzip=gzip)
        client.identify("u-1", {"email": "anna@example.com", "age": 31})
        client.track("u-1", "Product Added", {"price": 12.5}, timestamp=LONG_AGO)
        client.track(anonymous_id="anon-42", event="Order Completed", properties={"revenue": 99.95})
        client.page("u-1", "Docs", "Pricing", {"url": "https://shop.example/pricing"})
        client.screen("u-1", None, "Home")
        client.group("u-1", "g-3", {"name": "Ünïcøde GmbH 🛒"})
        client.alias("anon-42", "u-1")
        client.flush()
        assert client.failures == []
        events = {event.name: event for event in asyncio.run(read_events(kafka_settings, 7))}
    assert len(events) == 7
    assert events["$identify"].traits == {"email": "anna@example.com", "age": 31}
    assert events["Order Completed"].person == "anon-42"
    assert events["$page"].properties["name"] == "Pricing"
    assert events["$group"].traits == {"name": "Ünïcøde GmbH 🛒"}
    assert (events["$alias"].person, events["$alias"].previous_id) == ("u-1", "anon-42")
    # One machine, one clock: what is left of the correction is the time under way.
    added = events["Product Added"]
    assert abs(added.occurred_at - to_micros(LONG_AGO)) < 60_000_000


def test_large_uploads_arrive_whole_and_in_order(
    kafka_settings: KafkaSettings, tmp_path: Path, connect: Connect
) -> None:
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        client = connect(ingest.url)
        for n in range(350):
            client.track("u-1", "Viewed", {"n": n, "text": "x" * 3000})
        client.flush()
        assert client.failures == []
        events = asyncio.run(read_events(kafka_settings, 350))
    assert [event.properties["n"] for event in events] == list(range(350))


def test_a_429_is_waited_for_and_nothing_is_lost_or_doubled(
    kafka_settings: KafkaSettings, tmp_path: Path, connect: Connect
) -> None:
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path, ingest_rate_events_per_second=30) as ingest:
        ingest.wait_ready()
        client = connect(ingest.url, upload_size=20)
        for n in range(100):
            client.track("u-1", "Viewed", {"n": n})
        client.flush()
        assert client.failures == []
        assert 'cuestream_ingest_requests_total{status="429"}' in ingest.get("/metrics")[1]
        events = asyncio.run(read_events(kafka_settings, 100))
    assert sorted(event.properties["n"] for event in events) == list(range(100))


def test_a_503_is_retried_until_kafka_is_there(
    kafka_settings: KafkaSettings, tmp_path: Path, connect: Connect
) -> None:
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        wait_until(lambda: "missing" in ingest.get("/readyz")[1], "a word on the topics")
        client = connect(ingest.url)
        client.track("u-1", "Viewed", {"n": 1})
        wait_until(lambda: 'status="503"' in ingest.get("/metrics")[1], "a 503")
        asyncio.run(make_topics(kafka_settings))
        client.flush()
        assert client.failures == []
        events = asyncio.run(read_events(kafka_settings, 1))
    assert [event.name for event in events] == ["Viewed"]


def test_what_no_json_can_hold_costs_that_event_alone(
    kafka_settings: KafkaSettings, tmp_path: Path, connect: Connect
) -> None:
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        client = connect(ingest.url, upload_interval=0.5)
        for n, value in enumerate([1.0, float("nan"), float("inf"), "\ud800", 2**80, 2.0]):
            client.track("u-1", "Viewed", {"n": n, "value": value})
        client.flush()
        assert client.failures == []
        events = asyncio.run(read_events(kafka_settings, 2))
        page = ingest.get("/metrics")[1]
    assert [event.properties["n"] for event in events] == [0, 5]
    assert 'outcome="bad_json"} 3.0' in page
    assert 'outcome="number_out_of_range"} 1.0' in page


@pytest.mark.parametrize(
    ("key", "event", "code"),
    [("someone else's", "Viewed", "unknown_write_key"), (KEY, "x" * 300, "all_refused")],
)
def test_a_final_refusal_reaches_the_error_callback(
    kafka_settings: KafkaSettings,
    tmp_path: Path,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    key: str,
    event: str,
    code: str,
) -> None:
    caplog.set_level(logging.CRITICAL, logger="segment")
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        client = connect(ingest.url, write_key=key)
        client.track("u-1", event)
        client.flush()
        ((error, batch),) = client.failures
    assert (error.code, len(batch)) == (code, 1)
