"""What an application made of FastAPI's own parts says in its OpenAPI document of refusals."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

MEDIA_TYPE: Final = "application/problem+json"

_NAME: Final = "Problem"
_TEXT: Final = {"type": "string"}
_PROBLEM: Final[dict[str, Any]] = {
    "title": _NAME,
    "description": "RFC 9457; `code` is for programs, `errors` say what is wrong and where.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["place", "reason"],
                "properties": {"place": _TEXT, "reason": _TEXT},
            },
        },
    },
}
_USUAL: Final = {
    400: "a value cannot be understood",
    401: "no valid bearer token",
    403: "the token, or this profile, does not allow it",
    404: "there is none",
    409: "its state does not allow this",
    413: "the body is too large",
    422: "the request is not valid, with place and reason of each problem",
    503: "something it needs is away; try again",
}
_CODES: Final = {401: "unauthorized", 422: "invalid_request", 503: "unavailable"}
# The standard library's words for these changed between versions of Python.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}


def document_problems(app: FastAPI) -> None:
    """Make the document name the refusals of each operation, as `problems` answers them.

    FastAPI's own form of a bad request, which no route of ours gives, goes.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas[_NAME] = _PROBLEM
            for path, methods in made["paths"].items():
                for method, operation in methods.items():
                    for status in _possible(method, path, operation):
                        operation["responses"][str(status)] = _refusal(status)
                    _fill(operation["responses"])
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _possible(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[int]:
    if operation.get("security"):
        yield from (401, 403)
    if operation.get("parameters"):
        yield from (400, 422)
    if "requestBody" in operation:
        yield from (400, 413, 422)
    if "{" in path:
        yield 404
    if method != "get":
        yield 409
    yield 503


def _fill(responses: dict[str, Any]) -> None:
    """Refusals of which a route said but what they mean."""
    for status, answer in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST and "content" not in answer:
            responses[status] = _refusal(int(status), answer["description"])


def _refusal(status: int, what: str | None = None) -> dict[str, Any]:
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    what = what or _USUAL[status]
    code = _CODES.get(status, title.lower().replace(" ", "_"))
    example: dict[str, Any] = {
        "type": "about:blank", "title": title, "status": status, "detail": what, "code": code,
    }  # fmt: skip
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"place": "query.limit", "reason": "Input should be at least 1"}]
    schema = {"$ref": f"#/components/schemas/{_NAME}"}
    return {"description": what, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
