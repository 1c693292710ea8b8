"""The profile store, asked over HTTP: what is known of a person now."""

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from services.contracts.errors import Transient
from services.triggers.api.settings import ApiSettings

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 10.0
CONNECTIONS_MAX: Final = 20
RETRY_AFTER_SECONDS: Final = 1.0


class StoredProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Of a profile what a preview, a trial or an explanation goes by."""

    person: str
    user_id: str | None = None
    anonymous_id: str | None = None
    traits: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    segments: tuple[str, ...] = ()
    as_of: str = ""


class People(Protocol):
    """Where profiles are read."""

    async def profile(self, id_: str) -> StoredProfile | None:
        """The profile behind a user id or an anonymous id, None where nobody has it.

        Raises:
            Transient: the store cannot be reached, or is not ready.
        """


class ProfileStore:
    """`People` over the profile store's HTTP API. Close it in the end."""

    def __init__(
        self, url: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            headers={"authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            transport=transport,
            trust_env=False,
        )

    @classmethod
    def of(cls, settings: ApiSettings) -> "ProfileStore":
        """The one that the settings name; the first of the API's tokens opens it, too."""
        own = settings.api_profile_store_token.get_secret_value()
        shared = settings.api_tokens.get_secret_value().split(",")[0].strip()
        return cls(settings.api_profile_store_url, own or shared)

    @classmethod
    def ledger_of(cls, settings: ApiSettings) -> "ProfileStore":
        """The dispatcher's own API, asked the same way."""
        own = settings.api_dispatcher_token.get_secret_value()
        shared = settings.api_tokens.get_secret_value().split(",")[0].strip()
        return cls(settings.api_dispatcher_url, own or shared)

    async def profile(self, id_: str) -> StoredProfile | None:
        """See the port."""
        return await self.fetch(f"/v1/profiles/{quote(id_, safe='')}", StoredProfile)

    async def fetch(
        self, path: str, type_: type[T], query: Mapping[str, str | int] | None = None
    ) -> T | None:
        """What the store answers at this address, None where it knows of nothing there.

        Raises:
            Transient: it cannot be reached, is not ready, or answers what nobody understands.
        """
        try:
            answer = await self._http.get(path, params=dict(query or {}))
        except httpx.HTTPError as error:
            raise _away(type(error).__name__) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code != httpx.codes.OK:
            raise _away(f"it answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=type_)
        except msgspec.DecodeError as error:
            raise _away("its answer cannot be read") from error

    async def ask(self, path: str, body: Any, type_: type[T]) -> T:
        """What the store answers to a question that is sent as JSON.

        Raises:
            Transient: as `fetch`, and where it refuses the question.
        """
        content = msgspec.json.encode(body)
        headers = {"content-type": "application/json"}
        try:
            answer = await self._http.post(path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise _away(type(error).__name__) from error
        if answer.status_code != httpx.codes.OK:
            raise _away(f"it answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=type_)
        except msgspec.DecodeError as error:
            raise _away("its answer cannot be read") from error

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()


def _away(why: str) -> Transient:
    return Transient(f"the profile store: {why}", retry_after_seconds=RETRY_AFTER_SECONDS)
