"""Two workers on a real Kafka, killed in mid-stream: none lost, none twice, states identical."""

from pathlib import Path

import pytest

from services.runtime.settings import KafkaSettings
from tests.support import worker_runs as runs

EVENTS = 30_000


@pytest.mark.timeout(400)
@pytest.mark.parametrize("packed", [False, True], ids=["single", "packed"])
async def test_killed_workers_leave_what_an_undisturbed_one_leaves(
    kafka_settings: KafkaSettings, tmp_path: Path, packed: bool
) -> None:
    calm, shaken = await runs.compare(kafka_settings, events=EVENTS, packed=packed, folder=tmp_path)
    assert len(calm.commands) > EVENTS // 20
    runs.same(calm, shaken)


@pytest.mark.timeout(400)
async def test_a_worker_that_slept_through_its_session_overwrites_nothing(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    calm, shaken = await runs.compare(
        kafka_settings, events=EVENTS, packed=True, folder=tmp_path, shake=runs.suspended_run
    )
    runs.same(calm, shaken)
