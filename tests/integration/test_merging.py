"""People who turn out to be one, on a real Kafka: live, and with workers killed in between."""

from pathlib import Path

import pytest

from services.contracts.topics import KIND_ANSWER, KIND_ASK, KIND_FORWARD
from services.runtime.settings import KafkaSettings
from tests.support import merging_runs as runs
from tests.support.merging_live import tell
from tests.support.worker_log import make_log

EVENTS = 20_000


@pytest.mark.timeout(240)
async def test_a_visitor_who_logs_in_is_one_person_with_the_user_in_every_part(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    await tell(kafka_settings.kafka, kafka_settings.topic_prefix, tmp_path / "data")


@pytest.mark.timeout(400)
async def test_workers_killed_in_the_middle_of_merges_lose_and_double_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    rows = make_log(events=EVENTS, partitions=kafka_settings.partitions, packed=True, merging=0.02)
    logs = await runs.shaken_run(kafka_settings, rows, tmp_path)
    assert runs.problems_of(logs) == []
    assert logs.hops[KIND_ASK] > 100
    assert logs.hops[KIND_ANSWER] > 100
    assert logs.hops[KIND_FORWARD] > 300
