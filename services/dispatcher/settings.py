"""Settings of the dispatcher."""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AnyHttpUrl, DirectoryPath, Field, SecretStr, StringConstraints, model_validator

from services.contracts.command import WhenUnknown
from services.dispatcher.channels.mail import Tls
from services.dispatcher.links import KEY_CHARS_MIN
from services.dispatcher.provider_settings import (
    EndpointName,
    FcmPush,
    SmsProvider,
    WebhookEndpoint,
    WecomEndpoint,
)
from services.dispatcher.signing import secret_keys
from services.runtime.settings import DatabaseSettings, KafkaSettings, TokenSettings

LEASES_PER_TIMEOUT: Final = 2
"""A lease outlasts a channel's timeout this many times, so that only the dead lose theirs."""
PHASES: Final = 2
"""Mail takes its timeout for the recipient and again for the text, push and WeCom for a token
and again for the message."""


QueueName = Annotated[
    str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}(:[a-z][a-z0-9_]{0,63})?$")
]
PerSecond = Annotated[float, Field(gt=0, le=1_000_000)]


class DispatcherSettings(KafkaSettings, DatabaseSettings, TokenSettings):
    """Settings of `python -m services.dispatcher`."""

    dispatcher_port: int = Field(8083, ge=0, le=65_535)
    dispatcher_intake_max: int = Field(1000, ge=1, le=10_000, description="commands a batch")
    dispatcher_backlog_max: int = Field(1_000_000, ge=1, description="open sends in the ledger")
    dispatcher_lease_seconds: float = Field(120.0, ge=1.0, le=3600.0)
    dispatcher_ledger_days: int = Field(30, ge=8, le=3660)

    dispatcher_attempts_max: int = Field(8, ge=1, le=100)
    dispatcher_retry_first_seconds: float = Field(1.0, gt=0, le=3600)
    dispatcher_retry_max_seconds: float = Field(900.0, gt=0, le=86_400)
    dispatcher_retry_after_max_seconds: float = Field(3600.0, ge=0, le=86_400)
    dispatcher_when_unknown: WhenUnknown = "at_most_once"

    dispatcher_rates: dict[QueueName, PerSecond] = Field(default_factory=dict)
    dispatcher_fallbacks: dict[QueueName, QueueName] = Field(default_factory=dict)
    dispatcher_breaker_failures: int = Field(10, ge=1, le=10_000)
    dispatcher_breaker_seconds: float = Field(15.0, gt=0, le=3600)
    dispatcher_quarantine_failures: int = Field(3, ge=1, le=100)
    dispatcher_quarantine_days: int = Field(30, ge=1, le=3660)

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
    dispatcher_mail_bounces: str = Field(
        "", pattern=r"^([A-Za-z0-9!#$%&'*/=?^_`{|}~.-]{1,31}@[A-Za-z0-9.-]{1,200})?$"
    )
    dispatcher_bounce_token: SecretStr = SecretStr("")
    dispatcher_bounce_folder: DirectoryPath | None = None

    dispatcher_sms: dict[EndpointName, SmsProvider] = Field(default_factory=dict)
    dispatcher_push: dict[EndpointName, FcmPush] = Field(default_factory=dict)
    dispatcher_wecom: dict[EndpointName, WecomEndpoint] = Field(default_factory=dict)
    dispatcher_provider_timeout_seconds: float = Field(10.0, gt=0, le=300)
    dispatcher_provider_concurrency: int = Field(16, ge=1, le=1000, description="a provider")
    dispatcher_provider_private: bool = False

    dispatcher_inbox_concurrency: int = Field(8, ge=1, le=100)
    dispatcher_inbox_days: int = Field(90, ge=1, le=3660)

    dispatcher_public_url: str = Field("", pattern=r"^(https?://[^\s?#]{1,200})?$")
    dispatcher_link_keys: SecretStr = SecretStr("")
    dispatcher_receipt_secrets: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _leases_outlast_timeouts(self) -> Self:
        longest = self.dispatcher_webhook_timeout_seconds
        if self.dispatcher_sms or self.dispatcher_push or self.dispatcher_wecom:
            longest = max(longest, PHASES * self.dispatcher_provider_timeout_seconds)
        if self.dispatcher_mail_host:
            longest = max(longest, PHASES * self.dispatcher_mail_timeout_seconds)
        if self.dispatcher_lease_seconds < LEASES_PER_TIMEOUT * longest:
            raise ValueError("dispatcher_lease_seconds must be twice the longest send")
        return self

    @model_validator(mode="after")
    def _what_is_public_is_encrypted(self) -> Self:
        for name, endpoint in self.dispatcher_webhooks.items():
            if endpoint.url.scheme != "https" and not self.dispatcher_webhook_private:
                raise ValueError(f"webhook {name}: https only, unless private ones are allowed")
        urls: dict[str, AnyHttpUrl] = {
            name: provider.url
            for named in (self.dispatcher_sms, self.dispatcher_push, self.dispatcher_wecom)
            for name, provider in named.items()
        }
        for name, url in urls.items():
            if url.scheme != "https" and not self.dispatcher_provider_private:
                raise ValueError(f"provider {name}: https only, unless private ones are allowed")
        return self

    @model_validator(mode="after")
    def _links_have_keys(self) -> Self:
        keys = self.link_keys()
        if any(len(key) < KEY_CHARS_MIN for key in keys):
            raise ValueError(f"dispatcher_link_keys: each has at least {KEY_CHARS_MIN} characters")
        token = self.dispatcher_bounce_token.get_secret_value()
        if token and len(token) < KEY_CHARS_MIN:
            raise ValueError(f"dispatcher_bounce_token has at least {KEY_CHARS_MIN} characters")
        if bool(self.dispatcher_public_url) != bool(keys):
            raise ValueError("dispatcher_public_url and dispatcher_link_keys belong together")
        return self

    @model_validator(mode="after")
    def _receipt_secrets_are_usable(self) -> Self:
        self.receipt_keys()
        return self

    def link_keys(self) -> list[str]:
        """Keys of links: the first makes new ones."""
        listed = self.dispatcher_link_keys.get_secret_value().split(",")
        return [key.strip() for key in listed if key.strip()]

    def receipt_keys(self) -> tuple[bytes, ...]:
        """Keys with which providers sign what they tell us."""
        secrets = self.dispatcher_receipt_secrets.get_secret_value()
        return secret_keys(secrets) if secrets.strip() else ()
