"""Errors of the HTTP APIs as `application/problem+json` (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.contracts.errors import Transient
from services.runtime.problem_docs import MEDIA_TYPE, document_problems


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    errors: Sequence[tuple[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem document. `code` is for programs, `errors` lists place and reason."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors:
        body["errors"] = [{"place": place, "reason": reason} for place, reason in errors]
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def _code(status: int) -> str:
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return problem(
        error.status_code, str(error.detail), code=_code(error.status_code), headers=headers
    )


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [
        (".".join(str(part) for part in found["loc"]), str(found["msg"]))
        for found in error.errors()
    ]
    return problem(422, "the request is not valid", code="invalid_request", errors=places)


async def _on_transient(_: Request, error: Exception) -> Response:
    assert isinstance(error, Transient)
    wait = max(1, round(error.retry_after_seconds or 1))
    return problem(503, "try again", code="unavailable", headers={"Retry-After": str(wait)})


def install_problems(app: FastAPI) -> None:
    """Answer HTTP errors, bad requests and `Transient` as problem documents, and say so in the
    OpenAPI document, unless the application makes one of its own."""
    document_problems(app)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Transient, _on_transient)
