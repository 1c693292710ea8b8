"""Bootstrap of the profile store: the whole object graph, built here and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.deadletter import DeadLetter
from services.contracts.time import DAY
from services.contracts.topics import DECISIONS, PROFILES, QUALITY, Topic
from services.profile_store.api import make_app
from services.profile_store.card import card_routes
from services.profile_store.consuming import GROUP, Consuming, Store
from services.profile_store.decision_api import decision_routes
from services.profile_store.decision_intake import DecisionIntake, keep_pruned
from services.profile_store.decision_postgres import PostgresDecisions
from services.profile_store.defined import Defined, follow
from services.profile_store.erasing import erasures_of
from services.profile_store.forgetting import keep_recent
from services.profile_store.intake import Intake
from services.profile_store.jobs.api import job_routes
from services.profile_store.jobs.runs import Runs
from services.profile_store.jobs.scheduling import Scheduler
from services.profile_store.lookups import AT_ONCE_MAX, Lookups
from services.profile_store.population_api import population_routes
from services.profile_store.population_postgres import PostgresPopulation
from services.profile_store.postgres import PostgresProfiles
from services.profile_store.quality_api import quality_routes
from services.profile_store.quality_intake import QualityIntake, keep_thin
from services.profile_store.quality_log import QualityLog
from services.profile_store.sensitive import SealedProfiles
from services.profile_store.settings import ProfileStoreSettings, sensitive_names, sensitive_of
from services.profile_store.storing import Storing
from services.profile_store.tag_changes import PostgresTagChanges
from services.profile_store.tag_changes_api import tag_changes_routes
from services.runtime.bearer import BearerTokens
from services.runtime.clock import WallClock
from services.runtime.database import make_engine, wait_for_database
from services.runtime.dead_letters import send_dead_letter
from services.runtime.erasing import Erasures, keep_swept
from services.runtime.erasing_api import erasure_routes
from services.runtime.health import Health
from services.runtime.kafka import make_consumer, make_producer, topic_name
from services.runtime.metrics import Metrics
from services.runtime.serving import run_process, serve
from services.runtime.settings import load

DECISIONS_GROUP: Final = "profile-store-decisions"
QUALITY_GROUP: Final = "profile-store-quality"


@dataclass(frozen=True, kw_only=True)
class _Stores:
    """Everything that is kept in PostgreSQL."""

    profiles: SealedProfiles
    population: PostgresPopulation
    erasures: Erasures
    decisions: PostgresDecisions
    quality: QualityLog
    tag_changes: PostgresTagChanges
    runs: Runs


async def run(settings: ProfileStoreSettings, stop: asyncio.Event) -> None:
    """Consume and serve until `stop` is set or one of the parts fails."""
    metrics = Metrics()
    engine = make_engine(
        settings,
        application="cuestream profile store",
        # How many profiles a tag value has differs by orders of magnitude: one plan for all
        # values would read the whole table for the rare ones.
        server_settings={"plan_cache_mode": "force_custom_plan", "jit": "off"},
    )
    lookups = Lookups(engine, kept=min(AT_ONCE_MAX, settings.database_pool))
    producer = make_producer(settings)
    try:
        await wait_for_database(engine)
        await producer.start()
        defined, defined_known = Defined(sensitive_names(settings)), asyncio.Event()
        stores = _stores(engine, lookups, settings, defined)
        consuming, logging, finding = _consumers(stores, settings, defined, producer, metrics)
        health = Health(
            ready={
                "consumer": consuming.missing,
                "decisions": logging.missing,
                "quality": finding.missing,
            }
        )
        app = _app(stores, settings, metrics, health, defined)
        await _together(
            stop,
            follow(settings, defined, defined_known, stop),
            _once(defined_known, stop, lambda: consuming.run(stop)),
            logging.run(stop),
            finding.run(stop),
            *_upkeep(stores, settings, metrics, stop),
            serve(app, host=settings.host, port=settings.profile_store_port, stop=stop),
        )
    finally:
        await producer.stop()
        await lookups.close()
        await engine.dispose()


def _stores(
    engine: AsyncEngine, lookups: Lookups, settings: ProfileStoreSettings, defined: Defined
) -> _Stores:
    profiles = PostgresProfiles(engine, defined.discrete, lookups)
    return _Stores(
        profiles=SealedProfiles(profiles, sensitive_of(settings)),
        population=PostgresPopulation(engine),
        erasures=erasures_of(engine),
        decisions=PostgresDecisions(engine),
        quality=QualityLog(engine),
        tag_changes=PostgresTagChanges(engine),
        runs=Runs(engine),
    )


def _consumers(
    stores: _Stores,
    settings: ProfileStoreSettings,
    defined: Defined,
    producer: AIOKafkaProducer,
    metrics: Metrics,
) -> tuple[Consuming, Consuming, Consuming]:
    """Of profiles, of decisions and of what cleaning found."""

    def consumer(group: str, topic: Topic, store: Store) -> Consuming:
        return Consuming(
            make_consumer(settings, group=group),
            topic_name(settings, topic),
            store,
            metrics,
            settings.profile_store_batch_max,
        )

    async def bury(letter: DeadLetter) -> None:
        await send_dead_letter(producer, settings, letter)

    clock = WallClock() if settings.clock == "wall" else None
    profiles = Intake(stores.profiles, stores.erasures.erase, bury, metrics)
    shown = sensitive_of(settings, defined.sensitive).masked_decision
    decisions = DecisionIntake(stores.decisions, bury, metrics, clock=clock, shown=shown)
    quality = QualityIntake(stores.quality, Storing(bury, metrics), metrics)
    return (
        consumer(GROUP, PROFILES, profiles.store),
        consumer(DECISIONS_GROUP, DECISIONS, decisions.store),
        consumer(QUALITY_GROUP, QUALITY, quality.store),
    )


def _app(
    stores: _Stores,
    settings: ProfileStoreSettings,
    metrics: Metrics,
    health: Health,
    defined: Defined,
) -> FastAPI:
    return make_app(
        stores.profiles,
        BearerTokens(settings),
        metrics,
        health,
        population_routes(stores.population, stores.profiles, defined),
        decision_routes(stores.decisions, stores.profiles),
        card_routes(stores.profiles, stores.decisions, defined),
        quality_routes(stores.quality),
        job_routes(stores.runs),
        erasure_routes(stores.erasures),
        tag_changes_routes(stores.tag_changes),
        sensitive=sensitive_of(settings, defined.sensitive),
    )


def _upkeep(
    stores: _Stores, settings: ProfileStoreSettings, metrics: Metrics, stop: asyncio.Event
) -> Iterator[Awaitable[None]]:
    """What goes on by the clock: jobs, and forgetting what is too old."""
    time = WallClock()
    scheduler = Scheduler(
        stores.runs, metrics, at=settings.profile_store_jobs_at, time=lambda: time.stamp(None)
    )
    yield scheduler.run(stop)
    yield keep_recent(stores.population, settings, stop)
    yield keep_swept(stores.erasures, stop)
    yield keep_thin(stores.quality, stop, keep_days=settings.profile_store_quality_days)
    yield keep_pruned(
        stores.decisions,
        stop,
        keep_micros=settings.profile_store_decisions_days * DAY,
        keep_people=settings.profile_store_decisions_per_person,
    )


async def _once(
    ready: asyncio.Event, stop: asyncio.Event, work: Callable[[], Awaitable[None]]
) -> None:
    """Begin when it is ready; not at all when it is time to stop before that."""
    waiting = [asyncio.ensure_future(one.wait()) for one in (ready, stop)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
    if ready.is_set():
        await work()


async def _together(stop: asyncio.Event, *works: Awaitable[None]) -> None:
    """Run all; when one ends, for whatever reason, the others are asked to stop."""

    async def one(work: Awaitable[None]) -> None:
        try:
            await work
        finally:
            stop.set()

    outcomes = await asyncio.gather(*(one(work) for work in works), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def main() -> int:
    """Entry point of the process; returns its exit code."""
    settings = load(ProfileStoreSettings)
    return run_process("profile-store", settings, lambda stop: run(settings, stop))
