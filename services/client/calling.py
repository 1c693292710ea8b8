"""One call to the API: a request, an answer or what was wrong with it."""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec

REQUEST_TIMEOUT_SECONDS: Final = 30.0
DETAIL_CHARS_MAX: Final = 500

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, and where."""

    place: str
    reason: str


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    detail: str = ""
    code: str = ""
    errors: tuple[Place, ...] = ()


class ApiError(Exception):
    """The API says no, by a problem document (RFC 9457).

    `code` is for programs; `errors` name every place and reason; `retry_after_seconds` is set
    where the same call may succeed later.
    """

    def __init__(
        self,
        status: int,
        *,
        code: str,
        detail: str,
        errors: tuple[Place, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Exception):
    """No answer came: whether the request was carried out is unknown."""


class Answer(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What came back; `etag` is for `if_match` of the next change."""

    status: int
    body: T
    etag: str | None = None


def segment(value: object) -> str:
    """A value as one segment of a path, whatever characters it holds."""
    return quote(str(value), safe="")


class Caller:
    """Sends requests with a token to the API at an address. Use it as an async context manager."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"},
            timeout=timeout_seconds,
            transport=transport,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        type_: Any,
        *,
        query: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        body: Any = None,
        media: str = "application/json",
    ) -> Answer[Any]:
        """Make one call. Parameters that are None are left out.

        Raises:
            ApiError: the API refuses.
            Unreachable: no answer came, or none that this client can read.
            TypeError: the body holds what JSON cannot.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {name: str(value) for name, value in (header or {}).items() if value is not None}
        if content is not None:
            headers["content-type"] = media
        try:
            answer = await self._http.request(
                method, path, params=_query(query or {}), headers=headers, content=content
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"the API at {self.url}: {error!r}") from error
        if not answer.is_success:
            raise _refusal(answer)
        try:
            decoded = None if type_ is None else msgspec.json.decode(answer.content, type=type_)
        except msgspec.DecodeError as error:
            raise Unreachable(f"the API's answer cannot be read: {error}") from error
        return Answer(status=answer.status_code, body=decoded, etag=answer.headers.get("etag"))


def _query(given: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(detail=answer.text[:DETAIL_CHARS_MAX])
    wait = answer.headers.get("retry-after", "")
    return ApiError(
        answer.status_code,
        code=problem.code,
        detail=problem.detail,
        errors=problem.errors,
        retry_after_seconds=float(wait) if wait.isdigit() else None,
    )
