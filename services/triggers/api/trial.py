"""All that marketers have around publishing, put together: trials, backtests, rollouts, stops."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.masking import SENSITIVE_TRAITS
from services.contracts.time import Micros
from services.runtime.metrics import Metrics
from services.triggers.api.backtest_routes import Backtesting, backtest_routes, reach_routes
from services.triggers.api.looking_back_routes import looking_back_routes
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.rollout_routes import RollingOut, counting, rollout_routes
from services.triggers.api.settings import ApiSettings
from services.triggers.api.stop_routes import stop_routes
from services.triggers.api.trial_routes import Trials, trial_routes
from services.triggers.backtest.jobs import Jobs
from services.triggers.backtest.jobs_postgres import PostgresJobs
from services.triggers.backtest.runner import Runner, launcher
from services.triggers.definitions.checking import Checker
from services.triggers.definitions.service import Definitions
from services.triggers.trial.people import Lookup, TopicLookup
from services.triggers.trial.rollouts import Controller, PostgresRollouts, Rollouts
from services.triggers.trial.trial_sends import Commands, KafkaCommands


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """The ports behind the routes. `now` gives microseconds."""

    definitions: Definitions
    check: Checker
    workspace: str
    store: ProfileStore
    people: Lookup
    commands: Commands
    jobs: Jobs
    rollouts: Rollouts
    now: Callable[[], Micros]
    folder: Path | None = None
    sensitive: frozenset[str] = frozenset(SENSITIVE_TRAITS)
    wake: Callable[[], None] = lambda: None


def routers_around(parts: Around) -> Sequence[APIRouter]:
    """Every router of what stands around publishing."""
    definitions = parts.definitions
    return (
        stop_routes(parts.workspace, definitions),
        trial_routes(
            Trials(
                definitions=definitions,
                check=parts.check,
                people=parts.people,
                commands=parts.commands,
                workspace=parts.workspace,
                sensitive=parts.sensitive,
                now=parts.now,
            )
        ),
        backtest_routes(
            Backtesting(
                definitions=definitions,
                check=parts.check,
                jobs=parts.jobs,
                workspace=parts.workspace,
                folder=parts.folder,
                now=parts.now,
                wake=parts.wake,
            )
        ),
        reach_routes(definitions, parts.jobs, parts.store),
        rollout_routes(
            RollingOut(
                definitions=definitions,
                rollouts=parts.rollouts,
                jobs=parts.jobs,
                now=parts.now,
            )
        ),
        looking_back_routes(definitions, parts.store, parts.people, parts.sensitive),
    )


class AtWork(msgspec.Struct, frozen=True, kw_only=True):
    """The same in the process: its routers, and who works behind them."""

    routers: Sequence[APIRouter]
    runner: Runner
    controller: Controller


def around_publishing(
    settings: ApiSettings,
    engine: AsyncEngine,
    definitions: Definitions,
    check: Checker,
    *,
    store: ProfileStore,
    ledger: ProfileStore,
    metrics: Metrics,
    owner: str,
    now: Callable[[], Micros],
) -> AtWork:
    """Everything over PostgreSQL, Kafka and the other processes; `owner` names this one."""
    jobs, rollouts = PostgresJobs(engine), PostgresRollouts(engine)
    sensitive = frozenset(filter(None, map(str.strip, settings.sensitive_traits.split(","))))
    runner = Runner(
        jobs,
        launcher(settings, settings.api_backtest_folder, sensitive),
        metrics,
        owner=owner,
        concurrency=settings.api_backtests,
        seconds_max=settings.api_backtest_seconds_max,
        now=now,
    )
    controller = Controller(
        rollouts,
        definitions,
        counting(store, ledger, now),
        metrics,
        every_seconds=settings.api_rollout_seconds,
        now=now,
    )
    parts = Around(
        definitions=definitions,
        check=check,
        workspace=settings.workspace,
        store=store,
        people=TopicLookup(settings, now),
        commands=KafkaCommands(settings),
        jobs=jobs,
        rollouts=rollouts,
        now=now,
        folder=settings.api_backtest_folder,
        sensitive=sensitive,
        wake=runner.wake,
    )
    return AtWork(routers=routers_around(parts), runner=runner, controller=controller)
