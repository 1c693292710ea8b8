"""The commands reach what they are named for, and say plainly what is wrong."""

import os
import subprocess
import sys

import pytest

from services.contracts.topics import TOPICS
from services.runtime.process import free_port
from services.runtime.settings import KafkaSettings

COMMAND = [sys.executable, "-c", "from services.cli.main import app; app()"]
SERVICES = {
    "ingest": "CUESTREAM_INGEST_PORT",
    "triggers": "CUESTREAM_TRIGGERS_PORT",
    "triggers-api": "CUESTREAM_API_PORT",
    "profile-store": "CUESTREAM_PROFILE_STORE_PORT",
    "dispatcher": "CUESTREAM_DISPATCHER_PORT",
}


def cuestream(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.embedded
@pytest.mark.parametrize("command", SERVICES)
def test_a_services_command_reads_that_services_settings(command: str) -> None:
    done = cuestream(command, **{SERVICES[command]: "many"})
    assert done.returncode == 1
    assert "bad settings" in done.stderr
    assert SERVICES[command] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.embedded
def test_topics_are_created_and_named(kafka_settings: KafkaSettings) -> None:
    environment = {
        "CUESTREAM_KAFKA": kafka_settings.kafka,
        "CUESTREAM_TOPIC_PREFIX": kafka_settings.topic_prefix,
    }
    first = cuestream("topics", **environment)
    created = {f"created {kafka_settings.topic_prefix}{topic.name}" for topic in TOPICS}
    assert set(first.stdout.splitlines()) == created
    assert cuestream("topics", **environment).stdout == "all topics are there\n"


@pytest.mark.embedded
def test_every_schema_is_migrated(database_url: str) -> None:
    for _ in range(2):
        done = cuestream("migrate", CUESTREAM_DATABASE_URL=database_url)
        assert done.stdout == "up to date: triggers, profile_store, dispatcher\n", done.stderr


@pytest.mark.embedded
def test_a_broker_that_is_away_is_one_line_and_no_traceback() -> None:
    done = cuestream("dlq", "list", CUESTREAM_KAFKA=f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "cuestream:" in done.stderr
    assert "Traceback" not in done.stderr
