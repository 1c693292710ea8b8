"""Settings of the profile store."""

from pydantic import Field

from services.runtime.settings import DatabaseSettings, KafkaSettings, TokenSettings


class ProfileStoreSettings(KafkaSettings, DatabaseSettings, TokenSettings):
    """Settings of `python -m services.profile_store`."""

    profile_store_port: int = Field(8082, ge=0, le=65_535)
    profile_store_batch_max: int = Field(
        2_000, ge=1, le=20_000, description="snapshots written in one statement"
    )
    profile_store_history_days: int = Field(
        730, ge=1, le=3650, description="how long changes of tags and segments are kept"
    )
    profile_store_decisions_days: int = Field(
        30, ge=1, le=3650, description="how long decisions are kept; their counts stay"
    )
    profile_store_decisions_per_person: int = Field(
        500, ge=10, le=100_000, description="decisions kept of one person, the newest"
    )
    profile_store_quality_days: int = Field(
        90, ge=1, le=3650, description="days of which the data-quality report knows"
    )
