"""Settings of the triggers worker."""

from typing import Literal

from pydantic import Field

from services.runtime.settings import KafkaSettings


class TriggersSettings(KafkaSettings):
    """The triggers worker."""

    triggers_port: int = Field(8084, ge=0, le=65_535, description="of /metrics and health")
    triggers_batch_records_max: int = Field(4_000, ge=1, le=100_000)
    triggers_fetch_wait_ms: int = Field(4, ge=1, le=5_000)
    triggers_commit_interval_ms: int = Field(1_000, ge=50, le=60_000)
    triggers_standbys: int = Field(1, ge=0, le=8)
    triggers_definitions_wait_seconds: float = Field(30.0, gt=0, le=600)
    triggers_end_offsets: Literal["auto", "listed", "fetched"] = Field(
        "auto", description="auto: fetched exactly where kafka_idempotence is off"
    )
