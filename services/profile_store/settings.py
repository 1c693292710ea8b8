"""Settings of the profile store."""

from collections.abc import Callable, Collection

from pydantic import Field, SecretStr

from services.contracts.masking import SENSITIVE_TRAITS
from services.profile_store.jobs.settings import JobSettings
from services.profile_store.sensitive import Sensitive
from services.runtime.bearer import BearerTokens
from services.runtime.settings import KafkaSettings


class ProfileStoreSettings(KafkaSettings, JobSettings):
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
    sensitive_traits: str = Field(
        ",".join(SENSITIVE_TRAITS), description="names of traits, comma between"
    )
    sensitive_tokens: SecretStr = Field(
        SecretStr(""), description="bearer tokens that may see sensitive traits, comma between"
    )


def sensitive_of(
    settings: ProfileStoreSettings, tags: Callable[[], Collection[str]] = tuple
) -> Sensitive:
    """What the settings say of sensitive traits; `tags` gives those that show one."""
    return Sensitive(
        sensitive_names(settings),
        settings.keyring(),
        BearerTokens(settings.sensitive_tokens),
        tags,
    )


def sensitive_names(settings: ProfileStoreSettings) -> list[str]:
    """The names of sensitive traits."""
    return [name for name in map(str.strip, settings.sensitive_traits.split(",")) if name]
