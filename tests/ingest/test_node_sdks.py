"""The Node SDKs of Segment (new and legacy) and RudderStack, unmodified, against the process.

They are installed from tests/sdks/node/package-lock.json by `make sdks`, or by the first test.
"""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from services.contracts.time import to_micros
from services.runtime.settings import KafkaSettings
from tests.ingest.running import KEY, RunningIngest, make_topics, read_events
from tests.ingest.test_python_sdk import LONG_AGO
from tests.support.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FOLDER = Path(__file__).parent.parent / "sdks" / "node"
INSTALL_SECONDS_MAX = 240
SEND_SECONDS_MAX = 90
MANY = 250
SDKS = ["segment", "legacy", "rudderstack"]


@pytest.fixture(scope="session")
def node() -> str:
    """The `node` program, with the SDKs installed beside the script."""
    programs = {name: shutil.which(name) for name in ("node", "npm")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.fail(f"the Node SDKs are part of this suite: install {' and '.join(missing)}")
    installed = FOLDER / "node_modules" / ".package-lock.json"
    lock = FOLDER / "package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(
            [str(programs["npm"]), "ci"], cwd=FOLDER, check=True, timeout=INSTALL_SECONDS_MAX
        )
    return str(programs["node"])


class Sender:
    """One run of the script."""

    def __init__(self, node: str, sdk: str, url: str, what: str) -> None:
        self._process = subprocess.Popen(
            [node, "send.mjs", sdk, url, KEY, what],
            cwd=FOLDER,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def errors(self) -> list[str]:
        """Wait for its end; what the SDK reported."""
        try:
            out, err = self._process.communicate(timeout=SEND_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
            pytest.fail(f"the SDK did not finish: {err}")
        assert self._process.returncode == 0, err
        errors: list[str] = json.loads(out.splitlines()[-1])
        return errors


@pytest.mark.parametrize("sdk", SDKS)
def test_the_seven_calls_arrive(
    kafka_settings: KafkaSettings, tmp_path: Path, node: str, sdk: str
) -> None:
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        ingest.wait_ready()
        assert Sender(node, sdk, ingest.url, "seven").errors() == []
        events = {event.name: event for event in asyncio.run(read_events(kafka_settings, 7))}
    assert len(events) == 7
    assert events["$identify"].traits == {"email": "anna@example.com", "age": 31}
    assert events["Order Completed"].person == "anon-42"
    assert events["Order Completed"].properties == {"revenue": 99.95}
    assert events["$page"].properties["name"] == "Pricing"
    assert events["$page"].properties["category"] == "Docs"
    assert events["$group"].group_id == "g-3"
    assert (events["$alias"].person, events["$alias"].previous_id) == ("u-1", "anon-42")
    assert abs(events["Product Added"].occurred_at - to_micros(LONG_AGO)) < 60_000_000


@pytest.mark.parametrize("sdk", SDKS)
def test_a_429_is_waited_for_and_nothing_is_lost(
    kafka_settings: KafkaSettings, tmp_path: Path, node: str, sdk: str
) -> None:
    asyncio.run(make_topics(kafka_settings))
    with RunningIngest(kafka_settings, tmp_path, ingest_rate_events_per_second=60) as ingest:
        ingest.wait_ready()
        assert Sender(node, sdk, ingest.url, "many").errors() == []
        assert 'cuestream_ingest_requests_total{status="429"}' in ingest.get("/metrics")[1]
        events = asyncio.run(read_events(kafka_settings, MANY))
    assert {event.properties["n"] for event in events} == set(range(MANY))
    assert len({event.message_id for event in events}) == MANY


@pytest.mark.parametrize("sdk", SDKS)
def test_a_503_is_retried_until_kafka_is_there(
    kafka_settings: KafkaSettings, tmp_path: Path, node: str, sdk: str
) -> None:
    with RunningIngest(kafka_settings, tmp_path) as ingest:
        wait_until(lambda: "missing" in ingest.get("/readyz")[1], "a word on the topics")
        sender = Sender(node, sdk, ingest.url, "many")
        wait_until(lambda: 'status="503"' in ingest.get("/metrics")[1], "a 503")
        asyncio.run(make_topics(kafka_settings))
        assert sender.errors() == []
        events = asyncio.run(read_events(kafka_settings, MANY))
    assert {event.properties["n"] for event in events} == set(range(MANY))
