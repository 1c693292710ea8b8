"""The marketers' API as the jobs need it: tags in force, and their next versions."""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import httpx
import msgspec

from services.contracts.definitions import Tag
from services.contracts.errors import CuestreamError, DefinitionError, Transient

PAGE: Final = 200
PAGES_MAX: Final = 50
REQUEST_TIMEOUT_SECONDS: Final = 30.0
T = TypeVar("T")

BUSY: Final = (httpx.codes.TOO_MANY_REQUESTS,)


class TagsInForce(Protocol):
    """Where tags are read and published."""

    async def tags(self) -> dict[str, Tag]:
        """All tags in force, by id.

        Raises:
            Transient: they cannot be had now.
            CuestreamError: they are refused.
        """

    async def publish(self, tags: Sequence[Tag]) -> int | None:
        """Put these in force in one revision, which is returned; None where they were so.

        Raises:
            DefinitionError: they are wrong; none is in force.
            Transient, CuestreamError: as above; whether they are in force is unknown.
        """


class _Item(msgspec.Struct):
    published: Tag | None = None


class _Page(msgspec.Struct):
    items: list[_Item]
    next_cursor: str | None = None


class _Applied(msgspec.Struct):
    revision: int | None = None


class _Wrong(msgspec.Struct):
    place: str
    reason: str


class _Problem(msgspec.Struct):
    detail: str = ""
    errors: list[_Wrong] = []


class MarketersApi:
    """The port over HTTP; `token` is a bearer token that may publish."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def tags(self) -> dict[str, Tag]:
        """See the port."""
        found: dict[str, Tag] = {}
        cursor = ""
        for _ in range(PAGES_MAX):
            asked = f"/v1/tags?status=live&limit={PAGE}&cursor={cursor}"
            page = _read(await self._ask("GET", asked), _Page)
            found.update((one.published.id, one.published) for one in page.items if one.published)
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor
        raise CuestreamError(f"more than {PAGES_MAX} pages of tags")

    async def publish(self, tags: Sequence[Tag]) -> int | None:
        """See the port."""
        definitions = [{"kind": "tag", **msgspec.to_builtins(tag)} for tag in tags]
        body = msgspec.json.encode({"definitions": definitions})
        return _read(await self._ask("POST", "/v1/apply", body), _Applied).revision

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            answer = await self._client.request(
                method, self._url + path, content=body, headers=self._headers
            )
        except httpx.HTTPError as error:
            raise Transient(f"the marketers' API: {type(error).__name__}") from error
        if answer.is_success:
            return answer.content
        try:
            problem = msgspec.json.decode(answer.content, type=_Problem)
        except msgspec.DecodeError:
            problem = _Problem()
        said = f"the marketers' API answered {answer.status_code}: {problem.detail}"
        if answer.status_code in BUSY or answer.is_server_error:
            raise Transient(said)
        if problem.errors:
            raise DefinitionError([(one.place, one.reason) for one in problem.errors])
        raise CuestreamError(said)


def _read(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise CuestreamError(
            f"the marketers' API answers what is not understood: {error}"
        ) from None


def make_client() -> httpx.AsyncClient:
    """An HTTP client that heeds no proxy of the environment; close it at the end."""
    return httpx.AsyncClient(trust_env=False, timeout=REQUEST_TIMEOUT_SECONDS)
