"""Settings of the triggers API."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.contracts.masking import SENSITIVE_TRAITS
from services.runtime.settings import DatabaseSettings, KafkaSettings, TokenSettings
from services.triggers.definitions.actors import Role
from services.triggers.definitions.rights import ReviewMode


class ApiSettings(KafkaSettings, DatabaseSettings, TokenSettings):
    """The process `python -m services.triggers.api`."""

    api_port: int = Field(8081, ge=1, le=65535)
    api_review: ReviewMode = Field(
        "people", description="whose changes another person has to approve"
    )
    api_oidc_issuer: str = Field("", description="iss of accepted JWTs; empty: none are accepted")
    api_oidc_audience: str = Field("", description="aud of accepted JWTs")
    api_oidc_keys_url: str = Field("", description="address of the issuer's JWKS")
    api_oidc_keys_seconds: float = Field(300.0, ge=10, le=86_400)
    api_oidc_role_claim: str = Field("roles", min_length=1, description="may be a dotted path")
    api_oidc_roles: dict[str, Role] = Field({}, description="role by value of that claim")
    api_oidc_id_claim: str = Field("sub", min_length=1)
    api_oidc_name_claim: str = Field("name", min_length=1)
    api_profile_store_url: str = Field(
        "http://127.0.0.1:8082", description="where profiles, and what was decided, are read"
    )
    api_profile_store_token: SecretStr = Field(
        SecretStr(""), description="its bearer token; empty: the first of the API's own"
    )
    api_dispatcher_url: str = Field(
        "http://127.0.0.1:8083", description="where it is read what became of sends"
    )
    api_dispatcher_token: SecretStr = Field(
        SecretStr(""), description="its bearer token; empty: the first of the API's own"
    )
    api_backtests: int = Field(1, ge=0, le=16, description="backtests at a time; 0: none here")
    api_backtest_seconds_max: int = Field(
        3600, ge=1, le=86_400, description="a backtest that takes longer is ended"
    )
    api_backtest_folder: Path | None = Field(
        None, description="files of events that backtests may ask for by name"
    )
    api_rollout_seconds: float = Field(
        10.0, ge=0.1, le=3600, description="how often rollouts are looked at"
    )
    sensitive_traits: str = Field(
        ",".join(SENSITIVE_TRAITS), description="names of traits, comma between"
    )
    outbox_poll_ms: int = Field(
        100, ge=10, le=200, description="how often the relay looks for what was published"
    )

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> Self:
        given = (self.api_oidc_issuer, self.api_oidc_audience, self.api_oidc_keys_url)
        if any(given) and not (all(given) and self.api_oidc_roles):
            raise ValueError(
                "CUESTREAM_API_OIDC_ISSUER, _AUDIENCE, _KEYS_URL and _ROLES are given together"
            )
        return self
