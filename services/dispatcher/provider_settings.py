"""Settings of providers: each is one JSON object, whose secrets stand in it or in a file."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from services.dispatcher.signing import secret_keys

EndpointName = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]

TEMPLATES_MAX: Final = 50


class WithSecrets(BaseModel):
    """Each of `SECRETS` is given either by its name or, with `_file` after it, as a file."""

    SECRETS: ClassVar[tuple[str, ...]] = ()
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _each_secret_is_given_once(self) -> Self:
        for name in (*self.SECRETS, *self.OPTIONAL):
            given = [getattr(self, place) is not None for place in (name, f"{name}_file")]
            if all(given) or (name in self.SECRETS and not any(given)):
                raise ValueError(f"give either {name} or {name}_file")
        return self

    def read(self, name: str) -> str:
        """A secret; empty where an optional one is not given.

        Raises:
            OSError: its file cannot be read.
            ValueError: the file is no text, or empty.
        """
        value: SecretStr | None = getattr(self, name)
        if value is not None:
            return value.get_secret_value()
        file: Path | None = getattr(self, f"{name}_file")
        if file is None:
            return ""
        found = file.read_text().strip()
        if not found:
            raise ValueError("the file is empty")
        return found


class WebhookEndpoint(WithSecrets):
    """Where one webhook goes. While its secret is being replaced, both stand there with a
    blank between."""

    SECRETS: ClassVar = ("secret",)

    url: AnyHttpUrl
    secret: SecretStr | None = None
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _secret_is_usable(self) -> Self:
        if self.url.username or self.url.password:
            raise ValueError("no credentials in the address: requests are signed")
        if self.secret is not None:
            secret_keys(self.secret.get_secret_value())
        return self

    def keys(self) -> tuple[bytes, ...]:
        """The signing keys; raises as `read` does, also where what it holds is no secret."""
        return secret_keys(self.read("secret"))


class TwilioSms(WithSecrets):
    """Twilio's Messages API, or one that is made like it. `sender` is a number or a messaging
    service (`MG…`)."""

    SECRETS: ClassVar = ("token",)

    preset: Literal["twilio"]
    url: AnyHttpUrl = AnyHttpUrl("https://api.twilio.com")
    account: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9]{2,64}$")]
    token: SecretStr | None = None
    token_file: Path | None = None
    sender: Text


class AliyunSms(WithSecrets):
    """Alibaba Cloud's SendSms. With `receipt_token` reports may be pushed to us."""

    SECRETS: ClassVar = ("secret",)
    OPTIONAL: ClassVar = ("receipt_token",)

    preset: Literal["aliyun"]
    url: AnyHttpUrl = AnyHttpUrl("https://dysmsapi.aliyuncs.com")
    key_id: Text
    secret: SecretStr | None = None
    secret_file: Path | None = None
    sign_name: Text
    receipt_token: SecretStr | None = None
    receipt_token_file: Path | None = None


class AnswerRule(BaseModel):
    """Looks at one value of a JSON answer: `path` with dots, and the values that count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Text
    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]


class HttpSms(WithSecrets):
    """Any provider with one HTTP call. `headers`, `form` and the texts in `body` are Liquid
    templates over `to`, `text`, `send_id` and `secret`; `form` or `body` (JSON) is given.

    An answer of 2xx is an acceptance, unless `accepted` asks for a value in it; `busy` names
    values after which another try may help. `idempotent`: it notices a repeated `send_id`.
    """

    OPTIONAL: ClassVar = ("secret",)

    preset: Literal["http"]
    url: AnyHttpUrl
    secret: SecretStr | None = None
    secret_file: Path | None = None
    headers: Annotated[dict[str, str], Field(max_length=TEMPLATES_MAX)] = Field(
        default_factory=dict
    )
    form: Annotated[dict[str, str], Field(max_length=TEMPLATES_MAX)] | None = None
    body: dict[str, Any] | None = None
    accepted: AnswerRule | None = None
    busy: AnswerRule | None = None
    id_path: Text | None = None
    idempotent: bool = False

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if (self.form is None) == (self.body is None):
            raise ValueError("give either form or body")
        return self


SmsProvider = Annotated[TwilioSms | AliyunSms | HttpSms, Field(discriminator="preset")]


class FcmPush(WithSecrets):
    """Firebase Cloud Messaging. `account` is the JSON of a service account's key."""

    SECRETS: ClassVar = ("account",)

    url: AnyHttpUrl = AnyHttpUrl("https://fcm.googleapis.com")
    account: SecretStr | None = None
    account_file: Path | None = None


class WecomBot(WithSecrets):
    """A bot in a group chat of one's own people; `key` is that of its webhook address."""

    SECRETS: ClassVar = ("key",)

    kind: Literal["bot"]
    url: AnyHttpUrl = AnyHttpUrl("https://qyapi.weixin.qq.com")
    key: SecretStr | None = None
    key_file: Path | None = None


class WecomCustomer(WithSecrets):
    """Messages to customers from the member `sender`, who confirms them in the WeCom app."""

    SECRETS: ClassVar = ("secret",)

    kind: Literal["customer"]
    url: AnyHttpUrl = AnyHttpUrl("https://qyapi.weixin.qq.com")
    corp_id: Text
    secret: SecretStr | None = None
    secret_file: Path | None = None
    sender: Text


WecomEndpoint = Annotated[WecomBot | WecomCustomer, Field(discriminator="kind")]
