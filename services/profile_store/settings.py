"""Settings of the profile store."""

from pydantic import Field

from services.runtime.settings import DatabaseSettings, KafkaSettings, TokenSettings


class ProfileStoreSettings(KafkaSettings, DatabaseSettings, TokenSettings):
    """Settings of `python -m services.profile_store`."""

    profile_store_port: int = Field(8082, ge=0, le=65_535)
    profile_store_batch_max: int = Field(
        2_000, ge=1, le=20_000, description="snapshots written in one statement"
    )
