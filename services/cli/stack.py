"""The whole of cuestream on one machine: servers, schemas, topics and services as processes."""

import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from sqlalchemy.engine import make_url

from services.cli.migrations import migrate_all
from services.contracts.errors import CuestreamError
from services.contracts.topics import DEFAULT_PARTITIONS, TOPICS
from services.runtime.clock import ClockMode
from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres
from services.runtime.embedded.broker import ENVIRONMENT as EMBEDDED_BROKER_ENVIRONMENT
from services.runtime.kafka import create_topics
from services.runtime.process import accepts, free_port
from services.runtime.settings import KafkaSettings, load
from services.runtime.supervisor import Part, Supervisor, SupervisorError

HOST: Final = "127.0.0.1"
WORKERS_MAX: Final = 64
DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "ingest": 8080,
    "api": 8081,
    "profile_store": 8082,
    "dispatcher": 8083,
    "triggers": 8084,
}
"""Of the services; worker n listens on `triggers` + n - 1. Servers take free ports."""

MODULES: Final[Mapping[str, str]] = {
    "ingest": "services.ingest",
    "api": "services.triggers.api",
    "profile_store": "services.profile_store",
    "dispatcher": "services.dispatcher",
    "triggers": "services.triggers.worker",
}
SECRET_BYTES: Final = 16


class StackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and where.

    `data_dir` takes the database's data, the logs and the made-up secrets. `kafka` and
    `database_url` replace the embedded servers. `ports` overrides `DEFAULT_PORTS` and may
    name `broker` and `postgres`; with `free_ports` whatever it does not name gets a free
    port. `environment` goes to every service, over the caller's own and over what the stack
    would set. `durable` False gives up the embedded database's safety against a power cut.
    """

    data_dir: Path
    kafka: str | None = None
    database_url: str | None = None
    ports: Mapping[str, int] = {}
    free_ports: bool = False
    clock: ClockMode = "wall"
    workers: int = 1
    partitions: int = DEFAULT_PARTITIONS
    topic_prefix: str = ""
    environment: Mapping[str, str] = {}
    durable: bool = True


class Stack:
    """Everything started on entering and stopped, last first, on leaving.

    After entering, `kafka` (host:port), `database_url` and the `..._url` addresses stand,
    and all services are ready. Enter it in the main thread: the children die with the thread
    that started them. Ended services are started again within bounds; `failed()` returns
    when one is given up.
    """

    kafka: str
    database_url: str

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.logs = settings.data_dir / "logs"
        self.supervisor = Supervisor(self.logs)
        self.kafka_settings: KafkaSettings
        self.write_key = self._secret("CUESTREAM_WRITE_KEYS", "write-key")
        self.api_token = self._secret("CUESTREAM_API_TOKENS", "api-token")
        self._ports: dict[str, int] = {}
        self._environment: dict[str, str] = {}
        self._exit = AsyncExitStack()

    @property
    def ingest_url(self) -> str:
        """Segment's HTTP API: http://host:port."""
        return self._url("ingest")

    @property
    def api_url(self) -> str:
        """Marketers' API."""
        return self._url("api")

    @property
    def profile_store_url(self) -> str:
        """Read API of profiles."""
        return self._url("profile_store")

    @property
    def dispatcher_url(self) -> str:
        """Metrics and health of the dispatcher."""
        return self._url("dispatcher")

    @property
    def triggers_urls(self) -> tuple[str, ...]:
        """Metrics and health of each worker."""
        return tuple(self._url(name) for name in self._names() if name.startswith("triggers"))

    @property
    def triggers_url(self) -> str:
        """Metrics and health of the first worker."""
        return self.triggers_urls[0]

    @property
    def database_address(self) -> str:
        """Where the database is, without its password."""
        return make_url(self.database_url).render_as_string(hide_password=True)

    @property
    def volatile(self) -> bool:
        """Whether what stands in the stream goes away with the stack."""
        return self.settings.kafka is None

    @property
    def environment(self) -> dict[str, str]:
        """The settings common to all services, as environment variables."""
        return dict(self._environment)

    async def failed(self) -> SupervisorError:
        """Wait until a service ended more often than allowed; says which and how."""
        return await self.supervisor.failed()

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            CuestreamError: a part did not come up; the message has the end of its log.
        """
        _keep_old_logs(self.logs)
        try:
            self._choose_ports()
            self._start_servers()
            self._environment = self._common_environment()
            await migrate_all(self.database_url)
            await create_topics(self.kafka_settings, TOPICS)
            self._exit.push_async_callback(self.supervisor.stop)
            await self.supervisor.start([self._part(name) for name in self._names()])
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    def _start_servers(self) -> None:
        settings = self.settings
        if settings.database_url is None:
            folder = settings.data_dir / "postgres"
            server = EmbeddedPostgres(
                folder,
                log_dir=self.logs,
                port=settings.ports.get("postgres"),
                durable=settings.durable,
            )
            self._exit.enter_context(server)
            self.database_url = server.url()
        else:
            self.database_url = settings.database_url
        if settings.kafka is None:
            broker = EmbeddedBroker(log_dir=self.logs, port=settings.ports.get("broker"))
            self._exit.enter_context(broker)
            self.kafka = broker.address
        else:
            self.kafka = settings.kafka

    def _common_environment(self) -> dict[str, str]:
        settings = self.settings
        common = {
            "CUESTREAM_KAFKA": self.kafka,
            "CUESTREAM_DATABASE_URL": self.database_url,
            "CUESTREAM_CLOCK": settings.clock,
            "CUESTREAM_PARTITIONS": str(settings.partitions),
            "CUESTREAM_TOPIC_PREFIX": settings.topic_prefix,
            "CUESTREAM_HOST": HOST,
            "CUESTREAM_WRITE_KEYS": os.environ.get("CUESTREAM_WRITE_KEYS") or self.write_key,
            "CUESTREAM_API_TOKENS": os.environ.get("CUESTREAM_API_TOKENS") or self.api_token,
            **(EMBEDDED_BROKER_ENVIRONMENT if self.volatile else {}),
            **settings.environment,
        }
        # The same text for our own client as for the services: one reading of the settings.
        prefix = "CUESTREAM_"
        fields = {
            name: common[prefix + name.upper()]
            for name in KafkaSettings.model_fields
            if prefix + name.upper() in common
        }
        self.kafka_settings = load(KafkaSettings, **fields)
        return common

    def _names(self) -> list[str]:
        names = [name for name in MODULES if name != "triggers"]
        return [*names, *(f"triggers_{number + 1}" for number in range(self.settings.workers))]

    def _choose_ports(self) -> None:
        for name in self._names():
            kind, _, number = name.rpartition("_") if name.startswith("triggers") else (name, "", 1)
            offset = int(number) - 1
            given = self.settings.ports.get(kind)
            if given is None and self.settings.free_ports:
                self._ports[name] = free_port()
                continue
            port = (given or DEFAULT_PORTS[kind]) + offset
            if accepts(HOST, port):
                raise CuestreamError(f"port {port} for {name} is taken")
            self._ports[name] = port

    def _part(self, name: str) -> Part:
        kind = "triggers" if name.startswith("triggers") else name
        port = self._ports[name]
        environment = {
            **os.environ,
            **self._environment,
            f"CUESTREAM_{kind.upper()}_PORT": str(port),
            "CUESTREAM_API_PROFILE_STORE_URL": self.profile_store_url,
            "CUESTREAM_API_DISPATCHER_URL": self._url("dispatcher"),
            "CUESTREAM_PROFILE_STORE_API_URL": self.api_url,
        }
        return Part(
            name=name,
            command=(sys.executable, "-m", MODULES[kind]),
            environment=environment,
            ready_url=f"http://{HOST}:{port}/readyz",
        )

    def _url(self, name: str) -> str:
        return f"http://{HOST}:{self._ports[name]}"

    def _secret(self, variable: str, file_name: str) -> str:
        """The first of those configured, else one made up once and kept with the data."""
        configured = self.settings.environment.get(variable) or os.environ.get(variable)
        if configured:
            return configured.split(",")[0]
        file = self.settings.data_dir / file_name
        if not file.is_file():
            self.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(SECRET_BYTES))
        return file.read_text().strip()


def _keep_old_logs(folder: Path) -> None:
    """Put the last run's logs aside, in place of those of the run before it."""
    for log in folder.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))
