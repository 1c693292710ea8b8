"""Settings of the dispatcher."""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from services.dispatcher.channels.mail import Tls
from services.dispatcher.policy import WhenUnknown
from services.dispatcher.signing import secret_keys
from services.runtime.settings import DatabaseSettings, KafkaSettings, TokenSettings

LEASES_PER_TIMEOUT: Final = 2
"""A lease outlasts a channel's timeout this many times, so that only the dead lose theirs."""
MAIL_PHASES: Final = 2

EndpointName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$")]


class WebhookEndpoint(BaseModel):
    """Where one webhook goes. Exactly one of `secret` and `secret_file` is given.

    While a secret is being replaced, both stand there with a blank between.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: AnyHttpUrl
    secret: SecretStr | None = None
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _secret_is_usable(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("give either secret or secret_file")
        if self.url.username or self.url.password:
            raise ValueError("no credentials in the address: requests are signed")
        if self.secret is not None:
            secret_keys(self.secret.get_secret_value())
        return self

    def keys(self) -> tuple[bytes, ...]:
        """The signing keys.

        Raises:
            OSError: the file cannot be read.
            ValueError: what it holds is no secret.
        """
        if self.secret is not None:
            return secret_keys(self.secret.get_secret_value())
        assert self.secret_file is not None
        return secret_keys(self.secret_file.read_text())


class DispatcherSettings(KafkaSettings, DatabaseSettings, TokenSettings):
    """Settings of `python -m services.dispatcher`."""

    dispatcher_port: int = Field(8083, ge=0, le=65_535)
    dispatcher_intake_max: int = Field(1000, ge=1, le=10_000, description="commands a batch")
    dispatcher_backlog_max: int = Field(100_000, ge=1, description="open sends in the ledger")
    dispatcher_lease_seconds: float = Field(120.0, ge=1.0, le=3600.0)
    dispatcher_ledger_days: int = Field(30, ge=8, le=3660)

    dispatcher_attempts_max: int = Field(8, ge=1, le=100)
    dispatcher_retry_first_seconds: float = Field(1.0, gt=0, le=3600)
    dispatcher_retry_max_seconds: float = Field(900.0, gt=0, le=86_400)
    dispatcher_retry_after_max_seconds: float = Field(3600.0, ge=0, le=86_400)
    dispatcher_when_unknown: WhenUnknown = "at_most_once"

    dispatcher_log_concurrency: int = Field(1000, ge=1, le=10_000)
    dispatcher_log_file: Path | None = None

    dispatcher_webhooks: dict[EndpointName, WebhookEndpoint] = Field(default_factory=dict)
    dispatcher_webhook_concurrency: int = Field(32, ge=1, le=1000, description="an endpoint")
    dispatcher_webhook_timeout_seconds: float = Field(10.0, gt=0, le=300)
    dispatcher_webhook_private: bool = False

    dispatcher_mail_host: str = ""
    dispatcher_mail_port: int = Field(587, ge=1, le=65_535)
    dispatcher_mail_tls: Tls = "starttls"
    dispatcher_mail_user: str = ""
    dispatcher_mail_password: SecretStr = SecretStr("")
    dispatcher_mail_from: str = Field("cuestream@localhost", pattern=r"^[\x20-\x7e]{3,320}$")
    dispatcher_mail_domain: str = Field("localhost", pattern=r"^[A-Za-z0-9.-]{1,253}$")
    dispatcher_mail_timeout_seconds: float = Field(20.0, gt=0, le=300)
    dispatcher_mail_concurrency: int = Field(8, ge=1, le=200)

    @model_validator(mode="after")
    def _leases_outlast_timeouts(self) -> Self:
        longest = self.dispatcher_webhook_timeout_seconds
        if self.dispatcher_mail_host:
            longest = max(longest, MAIL_PHASES * self.dispatcher_mail_timeout_seconds)
        if self.dispatcher_lease_seconds < LEASES_PER_TIMEOUT * longest:
            raise ValueError("dispatcher_lease_seconds must be twice the longest send")
        return self

    @model_validator(mode="after")
    def _public_webhooks_are_encrypted(self) -> Self:
        for name, endpoint in self.dispatcher_webhooks.items():
            if endpoint.url.scheme != "https" and not self.dispatcher_webhook_private:
                raise ValueError(f"webhook {name}: https only, unless private ones are allowed")
        return self
