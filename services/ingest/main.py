"""The ingest process: builds its parts, serves, and writes what it took before it ends."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI

from services.ingest.app import make_app
from services.ingest.endpoints import MILLIS, Endpoints
from services.ingest.intake import Intake
from services.ingest.kafka_log import KafkaLog
from services.ingest.keys import WriteKeys
from services.ingest.packer import Packer
from services.ingest.pressure import Pressure, TokenBucket
from services.ingest.records import RecordLog
from services.ingest.settings import IngestSettings
from services.runtime.clock import make_clock
from services.runtime.health import Health
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.serving import run_process, serve
from services.runtime.settings import load

SERVICE: Final = "ingest"
DRAIN_SECONDS_MAX: Final = 10.0

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """The parts that whoever runs ingest needs in hand."""

    app: FastAPI
    intake: Intake


def bootstrap(settings: IngestSettings, log: RecordLog, metrics: Metrics) -> Ingest:
    """Build the object graph around a log; nothing runs yet."""
    pressure = Pressure(
        events_max=settings.ingest_pending_events_max,
        bytes_max=settings.ingest_pending_bytes_max,
    )
    packer = Packer(log, pressure, wait_seconds=settings.ingest_pack_wait_ms / MILLIS)
    intake = Intake(
        log,
        packer=packer,
        pressure=pressure,
        clock=make_clock(settings.clock),
        replay=settings.clock == "replay",
        ack_timeout_seconds=settings.ingest_ack_timeout_ms / MILLIS,
        dead_letters=TokenBucket(settings.ingest_dead_letters_per_second, monotonic=time.monotonic),
        metrics=metrics,
    )
    keys = WriteKeys(
        settings.accepted_write_keys,
        events_per_second=settings.ingest_rate_events_per_second,
        monotonic=time.monotonic,
    )
    app = make_app(
        Endpoints(settings, intake, keys, metrics),
        metrics=metrics,
        health=Health(ready={"kafka": log.problem}),
        cors_origins=settings.cors_origins,
    )
    return Ingest(app=app, intake=intake)


async def main(settings: IngestSettings, stop: asyncio.Event) -> None:
    """Run ingest until `stop` is set; an error that only a new process can mend comes out."""
    metrics = Metrics()
    log = KafkaLog(settings)
    ingest = bootstrap(settings, log, metrics)
    connecting = log.start()
    connecting.add_done_callback(lambda _: stop.set())
    _log.info("listening", host=settings.host, port=settings.ingest_port)
    try:
        await serve(ingest.app, host=settings.host, port=settings.ingest_port, stop=stop)
        if connecting.done():
            connecting.result()
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await ingest.intake.drained()
    except TimeoutError:
        # Their clients were told 503, and will send them again.
        _log.warning("some events were not acknowledged", events=ingest.intake.pressure.events)
    finally:
        await log.stop()


def run() -> int:
    """Entry point of `python -m services.ingest`."""
    settings = load(IngestSettings)
    return run_process(SERVICE, settings, lambda stop: main(settings, stop))
