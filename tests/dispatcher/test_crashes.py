"""A dispatcher that dies loses nothing and repeats nothing it must not repeat."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from services.contracts.codec import encode_json
from services.dispatcher.channels.port import Accepted, Message, Outcome
from services.dispatcher.commands import read_command
from services.dispatcher.ledger import Ledger, Result
from services.dispatcher.policy import SendState
from services.dispatcher.settings import DispatcherSettings
from services.runtime.metrics import Metrics
from tests.dispatcher.crashing import EffectsChannel
from tests.dispatcher.support import (
    DECIDED_AT,
    ScriptedChannel,
    Stage,
    a_command,
    a_send_id,
    until,
)

pytestmark = pytest.mark.embedded

SENDS = 60
FATAL = 25
CONCURRENCY = 10


@pytest.fixture
def settings(settings: DispatcherSettings) -> DispatcherSettings:
    """A short lease: the dead are noticed after a second."""
    return settings.model_copy(update={"dispatcher_lease_seconds": 1.0})


async def die(stage: Stage, point: str, kind: str, effects: Path) -> None:
    """Run a dispatcher in a process of its own until it kills itself; see `crashing`."""
    number = FATAL if point.endswith(":effect") else 1 if point.endswith(":record") else 2
    values = stage.settings.model_dump(include={"kafka", "kafka_idempotence", "topic_prefix"})
    environment = {f"CUESTREAM_{name.upper()}": str(value) for name, value in values.items()}
    environment["CUESTREAM_DATABASE_URL"] = stage.settings.database_url.get_secret_value()
    environment["CUESTREAM_DISPATCHER_LEASE_SECONDS"] = "1"
    environment["CUESTREAM_DISPATCHER_WEBHOOK_TIMEOUT_SECONDS"] = "0.5"
    environment["CUESTREAM_KAFKA_SESSION_TIMEOUT_MS"] = str(stage.settings.kafka_session_timeout_ms)
    arguments = [point, str(number), str(effects), kind]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.dispatcher.crashing", *arguments),
        env={**os.environ, **environment},
    )
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL


@pytest.mark.parametrize(
    "point",
    [
        "after:record",
        "after:claim",
        "before:effect",
        "after:effect",
        "before:settle",
        "after:settle",
    ],
)
async def test_killed_sends_are_repeated_where_that_is_harmless(
    stage: Stage, tmp_path: Path, point: str
) -> None:
    effects = tmp_path / "effects"
    await stage.produce(a_command(number) for number in range(SENDS))
    await die(stage, point, "idempotent", effects)
    before = effects.read_text().split() if effects.exists() else []
    assert len(before) < SENDS
    assert before or not point.endswith((":effect", ":settle"))
    async with stage.dispatching({"log": EffectsChannel(effects, idempotent=True)}):
        counts = await stage.settled(SENDS)
    assert counts["accepted"] == SENDS
    performed = Counter(effects.read_text().split())
    assert performed.keys() == set(map(a_send_id, range(SENDS)))
    # Only what was under way at the kill may have been performed again, with the same id.
    assert sum(performed.values()) <= SENDS + CONCURRENCY
    assert {d.send_id for d in await stage.deliveries()} == performed.keys()


@pytest.mark.parametrize(
    "point",
    [
        "after:record",
        "after:claim",
        "before:effect",
        "after:effect",
        "before:settle",
        "after:settle",
        "before:reported",
        "after:reported",
    ],
)
async def test_killed_sends_are_never_repeated_where_nobody_would_notice_the_repeat(
    stage: Stage, tmp_path: Path, point: str
) -> None:
    effects = tmp_path / "effects"
    await stage.produce(a_command(number) for number in range(SENDS))
    await die(stage, point, "once", effects)
    async with stage.dispatching({"log": EffectsChannel(effects, idempotent=False)}):
        counts = await stage.settled(SENDS)
    performed = effects.read_text().split()
    assert len(performed) == len(set(performed))
    assert counts["accepted"] + counts["ambiguous"] == SENDS
    assert counts["ambiguous"] <= CONCURRENCY
    # Died between an attempt's beginning and its result: of some nobody knows.
    assert counts["ambiguous"] or point.endswith((":record", ":reported", ":settle"))
    letters = await stage.dead_letters()
    assert {letter.code for letter in letters} <= {"ambiguous"}
    assert len(letters) == counts["ambiguous"]
    told = {delivery.send_id for delivery in await stage.deliveries()}
    assert len(told) == counts["accepted"]
    assert told <= set(performed)


async def test_an_outcome_whose_report_died_with_its_process_is_reported(
    stage: Stage, tmp_path: Path
) -> None:
    command = a_command(1)
    ledger = Ledger(stage.engine, lease_micros=0)
    send = read_command(encode_json(command), partition=0, offset=0, queues={"log"})
    await ledger.record([send])
    (claim,) = await ledger.claim("log", "log", 1)
    await ledger.settle(
        [
            Result(
                send_id=claim.send_id,
                attempts=claim.attempts,
                state=SendState.FAILED,
                doubtful=False,
                bound=False,
                reason="status 410",
                provider_id=None,
                wait_micros=0,
                finished_at=DECIDED_AT,
            )
        ]
    )
    async with stage.dispatching({"log": EffectsChannel(tmp_path / "none", idempotent=True)}):
        await stage.settled(1)
    (delivery,) = await stage.deliveries()
    assert (delivery.send_id, delivery.status) == (command.send_id, "failed")
    (letter,) = await stage.dead_letters()
    assert letter.value == encode_json(command)
    assert not (tmp_path / "none").exists()


async def test_lost_database_connections_lose_no_send_and_repeat_none(
    stage: Stage, tmp_path: Path
) -> None:
    async def slowly(_: Message, __: int) -> Outcome:
        await asyncio.sleep(0.01)
        return Accepted()

    channel, metrics = ScriptedChannel(slowly, idempotent=True), Metrics()
    await stage.produce(a_command(number) for number in range(400))
    async with stage.dispatching({"log": channel}, concurrency=10, metrics=metrics):
        for share in (50, 150, 250):

            async def so_many(share: int = share) -> bool:
                return len(channel.sent) >= share

            await until(so_many, f"{share} sends")
            async with stage.engine.connect() as connection:
                await connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        counts = await stage.settled(400)
    assert counts["accepted"] == 400
    sent = [message.send_id for message in channel.sent]
    assert len(sent) == len(set(sent)) == 400
    assert len({delivery.send_id for delivery in await stage.deliveries()}) == 400
