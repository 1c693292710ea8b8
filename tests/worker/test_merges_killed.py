"""SIGKILL in the middle of merges: nothing of anybody is lost or counted twice."""

from pathlib import Path

import pytest

from services.contracts.topics import KIND_ANSWER, KIND_ASK, KIND_FORWARD
from services.runtime.settings import KafkaSettings
from tests.support import merging_runs as runs
from tests.support.worker_log import make_log

EVENTS = 6_000


@pytest.mark.timeout(300)
async def test_workers_killed_in_the_middle_of_merges_lose_and_double_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    rows = make_log(events=EVENTS, partitions=kafka_settings.partitions, packed=True, merging=0.02)
    logs = await runs.shaken_run(kafka_settings, rows, tmp_path)
    assert runs.problems_of(logs) == []
    assert logs.hops[KIND_ASK] > 40
    assert logs.hops[KIND_ANSWER] > 40
    assert logs.hops[KIND_FORWARD] > 100
