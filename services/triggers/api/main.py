"""The process of the triggers API: HTTP and the relay of the outbox, over one engine."""

import asyncio
import random
import time
from typing import Final
from uuid import uuid4

from sqlalchemy.exc import ProgrammingError

from services.contracts.errors import Transient
from services.contracts.metrics import OUTBOX_PENDING, RETRIES
from services.contracts.time import Micros
from services.runtime.bearer import BearerTokens
from services.runtime.clock import WallClock
from services.runtime.database import make_engine, wait_for_database
from services.runtime.erasing import keep_swept
from services.runtime.health import Health
from services.runtime.logs import get_logger
from services.runtime.metrics import Metrics
from services.runtime.serving import serve
from services.triggers.api.app import Access, make_app
from services.triggers.api.oidc import Keys, Oidc, OidcSettings, fetch_over_http
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.settings import ApiSettings
from services.triggers.api.tag_report import StoreNotices, tag_report_routes
from services.triggers.api.template_routes import template_routes
from services.triggers.api.trial import around_publishing
from services.triggers.backtest.erasing import erasures_of
from services.triggers.definitions.kafka import KafkaAnnouncer
from services.triggers.definitions.postgres import PostgresStore
from services.triggers.definitions.postgres_access import PostgresAnswers, PostgresTokens
from services.triggers.definitions.postgres_outbox import PostgresOutbox
from services.triggers.definitions.relay import Relay
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.texts import check_whole
from services.triggers.definitions.token_store import Tokens

WATCH_SECONDS: Final = 1.0

_log = get_logger(__name__)


class Watch:
    """Looks at the database once a second: for readiness and for the pending gauge."""

    def __init__(self, definitions: Definitions, metrics: Metrics) -> None:
        self._definitions = definitions
        self._gauge = metrics.gauge(OUTBOX_PENDING)
        self._problem: str | None = "not asked yet"

    async def look(self) -> None:
        """Ask once."""
        try:
            revision = await self._definitions.revision()
        except Transient as error:
            self._problem = str(error)
        else:
            self._problem = None
            self._gauge.set(revision.pending)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    def problem(self) -> str | None:
        """What keeps the API from working; for readiness."""
        return self._problem


async def main(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Serve until `stop`. Kafka may be away: what is published then waits in the outbox.

    Raises:
        Transient: the database stays away at the start.
        SystemExit: the database has not been migrated, or the port is taken.
    """
    engine = make_engine(settings, application="cuestream triggers-api")
    people, ledger = ProfileStore.of(settings), ProfileStore.ledger_of(settings)
    try:
        await wait_for_database(engine)
        wall = WallClock()

        def now() -> Micros:
            return wall.stamp(None)

        definitions = Definitions(
            PostgresStore(engine),
            check_whole,
            workspace=settings.workspace,
            now=now,
            review=settings.api_review,
        )
        await _bootstrap(definitions)
        metrics = Metrics()
        relay = Relay(
            PostgresOutbox(engine),
            KafkaAnnouncer(settings),
            poll_seconds=settings.outbox_poll_ms / 1000,
            random=random.random,
            on_retry=metrics.counter(RETRIES).labels(operation="outbox_relay").inc,
        )
        watch = Watch(definitions, metrics)
        await watch.look()
        around = around_publishing(
            settings,
            engine,
            definitions,
            check_whole,
            store=people,
            ledger=ledger,
            metrics=metrics,
            owner=str(uuid4()),
            now=now,
        )
        app = make_app(
            definitions,
            workspace=settings.workspace,
            access=Access(
                static=BearerTokens(settings),
                tokens=Tokens(PostgresTokens(engine), now),
                answers=PostgresAnswers(engine),
                now=now,
                oidc=oidc_of(settings),
            ),
            metrics=metrics,
            health=Health(ready={"database": watch.problem}),
            relay_problem=lambda: relay.problem,
            more_routers=[
                template_routes(definitions, people),
                tag_report_routes(definitions, StoreNotices(people), now),
                *around.routers,
            ],
        )
        if not settings.api_tokens.get_secret_value():
            _log.warning("CUESTREAM_API_TOKENS is empty: only API tokens and OIDC let in")
        _log.info("listening", host=settings.host, port=settings.api_port)
        async with asyncio.TaskGroup() as group:
            workers = (relay, watch, around.runner, around.controller)
            group.create_task(keep_swept(erasures_of(engine), stop))
            background = [group.create_task(worker.run()) for worker in workers]
            await serve(app, host=settings.host, port=settings.api_port, stop=stop)
            for task in background:
                task.cancel()
    finally:
        await people.close()
        await ledger.close()
        await engine.dispose()


def oidc_of(settings: ApiSettings) -> Oidc | None:
    """What recognises the issuer's tokens; None where no issuer is given."""
    if not settings.api_oidc_issuer:
        return None
    seconds = settings.api_oidc_keys_seconds
    keys = Keys(fetch_over_http(settings.api_oidc_keys_url), seconds=seconds, now=time.monotonic)
    return Oidc(
        OidcSettings(
            issuer=settings.api_oidc_issuer,
            audience=settings.api_oidc_audience,
            role_claim=settings.api_oidc_role_claim,
            roles=settings.api_oidc_roles,
            id_claim=settings.api_oidc_id_claim,
            name_claim=settings.api_oidc_name_claim,
        ),
        keys,
    )


async def _bootstrap(definitions: Definitions) -> None:
    try:
        first = await definitions.bootstrap()
    except ProgrammingError as error:
        raise SystemExit("the database is not migrated: run `cuestream migrate`") from error
    if first:
        _log.info("first start: published the default workspace and cap as revision 1")
