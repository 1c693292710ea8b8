"""A real Apache Kafka for this folder: the one of `CUESTREAM_KAFKA`, else one of our own.

Ours is started once a session by deploy/kafka-local and stops with us, however we end. What
it needs and this machine lacks (Java, Maven) is a failure, never a skip: a suite that skips
its only subject would be green for the wrong reason.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from services.runtime.settings import KafkaSettings

KAFKA_SCRIPT = Path(__file__).parents[2] / "deploy" / "kafka-local" / "kafka.py"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs the real broker, and says so before others mark it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a real Apache Kafka."""
    given = os.environ.get("CUESTREAM_KAFKA")
    if given:
        yield given
        return
    data = tmp_path_factory.mktemp("kafka")
    command = [sys.executable, str(KAFKA_SCRIPT), "run", "--port", "0", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if not words:
            pytest.fail("Kafka did not start; its words stand on stderr above", pytrace=False)
        yield words[1].decode()
        process.stdin.close()


@pytest.fixture
def kafka_settings(kafka_address: str) -> KafkaSettings:
    """Settings with a topic prefix of this test's own; no topic exists yet."""
    ours = "CUESTREAM_KAFKA" not in os.environ
    return KafkaSettings(
        kafka=kafka_address,
        # 6 s is the least that a broker with the usual settings takes; ours takes 1 s.
        kafka_session_timeout_ms=2_000 if ours else 6_000,
        topic_prefix=f"t{uuid4().hex[:12]}-",
        partitions=4,
    )
