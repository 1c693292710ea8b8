"""What clients are answered: JSON with `code` and `message` wherever something went wrong."""

import math
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.contracts.errors import Transient
from services.ingest.intake import Verdict
from services.ingest.refusals import Refused
from services.runtime.logs import get_logger

RETRY_AFTER_SECONDS_MAX: Final = 300
"""Segment's SDKs wait no longer, whatever a server says."""
_JSON: Final = "application/json"
_TOO_LARGE: Final = frozenset({"event_too_large"})

_log = get_logger(__name__)


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, headers, _JSON)


def answer_verdict(verdict: Verdict, *, single: bool) -> Response:
    """200 when something was accepted (or nothing was sent), else 400.

    A 400 is final for every SDK and shows up in its error callback, so that whoever forgot
    the user id in all calls learns of it; nothing is retried for it.
    """
    if verdict.accepted or not verdict.refused:
        body = {"success": True, "accepted": verdict.accepted, "refused": verdict.refused}
        return answer(200, body)
    first = verdict.refused[0]
    if single:
        status = 413 if first.code in _TOO_LARGE else 400
        return answer(status, {"code": first.code, "message": first.message})
    body = {
        "code": "all_refused",
        "message": f"no message of the batch is an event; the first: {first.code}",
        "success": False,
        "accepted": 0,
        "refused": verdict.refused,
    }
    return answer(400, body)


def answer_refused(refused: Refused) -> Response:
    """The answer to a request that was refused as a whole."""
    headers: dict[str, str] = {}
    if refused.retry_after_seconds is not None:
        headers["Retry-After"] = _retry_after(refused.retry_after_seconds)
    if refused.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="cuestream"'
    return answer(refused.status, {"code": refused.code, "message": refused.message}, headers)


def answer_transient(error: Transient) -> Response:
    """503: not all of the request is known to be written, so it is to be sent again."""
    headers = {"Retry-After": _retry_after(error.retry_after_seconds or 1.0)}
    body = {"code": "kafka_unavailable", "message": "Kafka does not acknowledge now; send again"}
    return answer(503, body, headers)


async def on_http_error(_: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    headers = dict(error.headers) if error.headers else None
    return answer(error.status_code, {"code": code, "message": str(error.detail)}, headers)


async def on_bug(_: Request, error: Exception) -> Response:
    """A 500, which SDKs retry; the error's text may hold a person's data and is not logged."""
    return answer(500, {"code": "internal", "message": "an error of the server"})


def _retry_after(seconds: float) -> str:
    return str(max(1, math.ceil(min(seconds, RETRY_AFTER_SECONDS_MAX))))
