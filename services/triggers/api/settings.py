"""Settings of the triggers API."""

from pydantic import Field

from services.runtime.settings import DatabaseSettings, KafkaSettings, TokenSettings


class ApiSettings(KafkaSettings, DatabaseSettings, TokenSettings):
    """The process `python -m services.triggers.api`."""

    api_port: int = Field(8081, ge=1, le=65535)
    outbox_poll_ms: int = Field(
        100, ge=10, le=200, description="how often the relay looks for what was published"
    )
