"""Settings of the jobs, which the profile store has and anybody who runs one."""

from pydantic import Field, SecretStr

from services.runtime.settings import DatabaseSettings, TokenSettings


class JobSettings(DatabaseSettings, TokenSettings):
    """What a job needs: the database, and the marketers' API to publish through."""

    profile_store_api_url: str = Field(
        "http://127.0.0.1:8081", description="the marketers' API, through which jobs publish"
    )
    profile_store_api_token: SecretStr = Field(
        SecretStr(""), description="bearer token for it that may publish; empty: of api_tokens"
    )
    profile_store_jobs_at: str = Field(
        "",
        pattern="^(([01][0-9]|2[0-3]):[0-5][0-9])?$",
        description="daily, HH:MM in UTC; empty: never",
    )

    @property
    def api_token(self) -> str:
        """The token for the marketers' API: the given one, else the first of `api_tokens`."""
        given = self.profile_store_api_token.get_secret_value()
        return given or self.api_tokens.get_secret_value().split(",")[0].strip()
