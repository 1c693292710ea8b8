"""Settings of the ingest process."""

from ipaddress import ip_address
from typing import Final, Self

from pydantic import Field, SecretStr, model_validator

from services.runtime.settings import KafkaSettings

LOCAL_WRITE_KEY: Final = "local"
"""Accepted by default, so that the first event needs no setup; never beyond this machine."""


class IngestSettings(KafkaSettings):
    """Everything ingest reads from the environment."""

    ingest_port: int = Field(8080, ge=1, le=65_535)
    write_keys: SecretStr = Field(
        SecretStr(LOCAL_WRITE_KEY), description="accepted write keys, comma between"
    )
    ingest_body_bytes_max: int = Field(
        1_048_576, ge=1_024, le=16_777_216, description="of a request, after decompression"
    )
    ingest_batch_events_max: int = Field(1_000, ge=1, le=10_000)
    ingest_pending_events_max: int = Field(
        50_000, ge=1, le=10_000_000, description="taken from clients and not yet acknowledged"
    )
    ingest_pending_bytes_max: int = Field(67_108_864, ge=1_048_576, le=8_589_934_592)
    ingest_pack_wait_ms: int = Field(
        5, ge=0, le=10, description="an event waits for others of its partition at most this long"
    )
    ingest_ack_timeout_ms: int = Field(
        10_000, ge=100, le=120_000, description="a client waits for Kafka at most this long"
    )
    ingest_body_timeout_ms: int = Field(15_000, ge=100, le=120_000)
    ingest_rate_events_per_second: int = Field(
        0, ge=0, le=10_000_000, description="for each write key; 0 is no limit"
    )
    ingest_dead_letters_per_second: int = Field(
        100, ge=0, le=100_000, description="refused events kept at most; the rest is only counted"
    )
    ingest_cors_origins: str = Field("*", description="for browsers, comma between; * is any")

    @model_validator(mode="after")
    def _the_default_key_stays_local(self) -> Self:
        if LOCAL_WRITE_KEY in self.accepted_write_keys and not _is_loopback(self.host):
            raise ValueError("set CUESTREAM_WRITE_KEYS to keys of your own before listening here")
        return self

    @property
    def accepted_write_keys(self) -> tuple[str, ...]:
        """The write keys, one by one."""
        listed = self.write_keys.get_secret_value().split(",")
        return tuple(key.strip() for key in listed if key.strip())

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The origins, one by one; empty turns CORS off."""
        listed = self.ingest_cors_origins.split(",")
        return tuple(origin.strip() for origin in listed if origin.strip())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
