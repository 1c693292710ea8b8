"""Settings every process has. Each process builds its one settings class in its `main`.

Values come from the environment (`CUESTREAM_…`) or from files in `/run/secrets` named the
same; docs/configuration.md and deploy/cuestream.env list all of them.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.clock import ClockMode
from services.runtime.sealing import Keyring

SECRETS_DIR = Path("/run/secrets")


class ProcessSettings(BaseSettings):
    """What every process needs, whatever it does."""

    model_config = SettingsConfigDict(
        env_prefix="CUESTREAM_",
        extra="ignore",
        frozen=True,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    host: str = Field("127.0.0.1", description="address the process listens on")
    clock: ClockMode = Field("wall", description="replay: time is what the records say")
    workspace: str = Field("default", pattern="^[a-z][a-z0-9_]{0,63}$")


class SealingSettings(ProcessSettings):
    """A process that keeps personal data at rest, or reads what another keeps."""

    sensitive_keys: SecretStr = Field(
        SecretStr(""), description="id:base64 of 32 bytes, comma between; the first seals"
    )

    @field_validator("sensitive_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr) -> SecretStr:
        Keyring(keys.get_secret_value())
        return keys

    def keyring(self) -> Keyring:
        """A new ring of the keys."""
        return Keyring(self.sensitive_keys.get_secret_value())


class KafkaSettings(SealingSettings):
    """A process that talks to Kafka."""

    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port[,host:port]")
    kafka_idempotence: bool = Field(
        True, description="off only for brokers that lack it, such as the embedded one"
    )
    topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]{0,100}$")
    partitions: int = Field(8, ge=1, le=1024, description="of events, when topics are created")
    replication: int = Field(1, ge=1, le=9, description="when topics are created")
    kafka_request_timeout_ms: int = Field(30_000, ge=1000, le=300_000)
    kafka_session_timeout_ms: int = Field(
        6_000, ge=1000, le=300_000, description="silence after which a group gives a member up"
    )


class DatabaseSettings(ProcessSettings):
    """A process that talks to PostgreSQL."""

    database_url: SecretStr = Field(
        SecretStr("postgresql+asyncpg://cuestream@127.0.0.1:5432/cuestream"),
        description="postgresql+asyncpg://user:password@host:port/name",
    )
    database_pool: int = Field(10, ge=1, le=200, description="connections at most")


class TokenSettings(ProcessSettings):
    """A process with an HTTP API for people and tools."""

    api_tokens: SecretStr = Field(
        SecretStr(""), description="accepted bearer tokens, comma between; none: all refused"
    )


S = TypeVar("S", bound=ProcessSettings)


def load(settings: type[S], **overrides: Any) -> S:
    """Build a settings class; a bad value ends the process with a line for each.

    Raises:
        SystemExit: a value does not fit. The values themselves are not printed: they may be
            secrets.
    """
    try:
        return settings(**overrides)
    except ValidationError as error:
        # A problem of several settings together has no name of its own.
        lines = [
            f"{'_'.join(('cuestream', *map(str, problem['loc']))).upper()}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"]
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise SystemExit("cuestream: bad settings\n  " + "\n  ".join(lines)) from None
