"""The whole pipeline on a real Kafka and PostgreSQL, a worker killed in mid-stream.

Real orders go in over HTTP; what counts is what stands in the dispatcher's ledger and in the
profiles at the end. Ids of sends follow from the log alone, so two runs can be compared.
"""

import gzip
import os
import signal
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.cli.definitions import example_files, read_definitions
from services.cli.demo import bundled_sample
from services.cli.demo_run import Demo
from services.cli.stack import Stack, StackSettings
from services.cli.summary import Summary
from services.runtime.database import make_engine
from services.runtime.settings import DatabaseSettings, KafkaSettings

LINES = 12_000
KILL_AFTER_LINES = (3_000, 7_000)
WORKERS = 2
LEDGER = "SELECT send_id, person, trigger, channel, state FROM dispatcher.sends"
PROFILES = "SELECT person, first_seen_at, last_seen_at, traits, tags FROM profile_store.profiles"
ENVIRONMENT = {
    "CUESTREAM_KAFKA_IDEMPOTENCE": "true",
    "CUESTREAM_KAFKA_SESSION_TIMEOUT_MS": "6000",
}


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What one run left behind."""

    summary: Summary
    ledger: dict[str, tuple[Any, ...]]
    profiles: dict[str, tuple[Any, ...]]
    restarts: int


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of the bundled sample."""
    file = tmp_path_factory.mktemp("orders") / "orders.csv.gz"
    with gzip.open(bundled_sample(), "rt") as whole, gzip.open(file, "wt") as part:
        part.writelines(islice(whole, LINES + 1))
    return file


async def run(kafka: KafkaSettings, prefix: str, folder: Path, orders: Path, *, kill: bool) -> Left:
    """Run the pipeline over the orders; with `kill`, SIGKILL each worker once on the way."""
    settings = StackSettings(
        data_dir=folder,
        kafka=kafka.kafka,
        topic_prefix=prefix,
        partitions=kafka.partitions,
        free_ports=True,
        clock="replay",
        workers=WORKERS,
        durable=False,
        environment=ENVIRONMENT,
    )
    async with Stack(settings) as stack:
        pids = [stack.supervisor.child(f"triggers_{n + 1}").pid for n in range(WORKERS)]
        engine = make_engine(DatabaseSettings(database_url=SecretStr(stack.database_url)))
        try:
            demo = Demo(stack, engine, orders, LINES)
            summary = await demo.run(lambda _: None, killer(pids) if kill else lambda _: None)
            async with engine.connect() as connection:
                ledger = {str(row[0]): tuple(row) for row in await connection.execute(text(LEDGER))}
                profiles = {
                    row.person: (*row[:4], lasting(row.tags))
                    for row in await connection.execute(text(PROFILES))
                }
            after = [stack.supervisor.child(f"triggers_{n + 1}").pid for n in range(WORKERS)]
        finally:
            await engine.dispose()
    return Left(
        summary=summary,
        ledger=ledger,
        profiles=profiles,
        restarts=sum(was != now for was, now in zip(pids, after, strict=True)),
    )


def lasting(tags: dict[str, Any]) -> dict[str, Any]:
    """Lifetime tags. When a delivery comes back is not the log's to say, so the instant of the
    last snapshot differs from run to run, and with it what rolling windows hold then."""
    rolling = {
        one["id"]
        for one in read_definitions(example_files("retail"))
        if one["kind"] == "tag" and ("window" in one or one["aggregate"] == "top_k")
    }
    return {name: value for name, value in tags.items() if name not in rolling}


def killer(pids: list[int | None]) -> Callable[[int], None]:
    """Counts lines as they are acknowledged, and kills a worker at each mark."""
    marks = list(zip(KILL_AFTER_LINES, pids, strict=True))
    sent = 0

    def progress(lines: int) -> None:
        nonlocal sent
        sent += lines
        while marks and sent >= marks[0][0]:
            pid = marks.pop(0)[1]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

    return progress


@pytest.mark.timeout(420)
async def test_killed_workers_change_nothing_in_ledger_and_profiles(
    kafka_settings: KafkaSettings, orders: Path, tmp_path: Path
) -> None:
    prefix = kafka_settings.topic_prefix
    calm = await run(kafka_settings, f"{prefix}calm-", tmp_path / "calm", orders, kill=False)
    shaken = await run(kafka_settings, f"{prefix}shaken-", tmp_path / "shaken", orders, kill=True)

    assert (calm.restarts, shaken.restarts) == (0, WORKERS)
    assert len(calm.ledger) > LINES // 20
    assert {row[-1] for row in calm.ledger.values()} == {"accepted"}
    assert shaken.ledger == calm.ledger
    assert shaken.profiles == calm.profiles
    assert all(profile[-1] for profile in calm.profiles.values())
    assert shaken.summary.decisions == calm.summary.decisions
    assert shaken.summary.deliveries == calm.summary.deliveries == {"accepted": len(calm.ledger)}
