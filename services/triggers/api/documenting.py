"""The finish of the OpenAPI document: names of operations, only such refusals as can come, and
an example of everything that is sent and answered.
"""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute

PROBLEM_MEDIA: Final = "application/problem+json"
INSTANT: Final = "2026-11-22T09:00:00Z"

_SCHEMAS: Final = "#/components/schemas/"
_DEPTH_MAX: Final = 8
_CODES: Final = {
    400: "not_json",
    401: "unauthorized",
    409: "conflict",
    412: "stale",
    422: "wrong_definition",
    503: "unavailable",
}
# The standard library's words for these changed between versions of Python.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
_ERRORS: Final = [
    {"place": "triggers.big_order.entry.where.tag", "reason": "unknown tag 'orders_30d'"}
]


def operation_id(route: APIRoute) -> str:
    """What an operation is called in the document, and so in clients: `publish_trigger`.

    The function's name, then what the path names but its own last word, in the singular
    unless a collection is read.
    """
    verb = route.name.strip("_")
    parts = route.path_format.split("/")[2:]
    nouns = [part for part in parts if not part.startswith("{")]
    if nouns and nouns[-1].replace("-", "_") in (verb, verb.split("_")[0]):
        nouns.pop()
        parts = [*nouns, "{}"]
    named = [_singular(noun) for noun in nouns]
    if nouns and "GET" in (route.methods or ()) and not parts[-1].startswith("{"):
        named[-1] = nouns[-1]
    return re.sub(r"\W", "_", "_".join([verb, *named]))


def _singular(noun: str) -> str:
    if noun == "people":
        return "person"
    return noun.removesuffix("ies") + "y" if noun.endswith("ies") else noun.removesuffix("s")


def complete(document: dict[str, Any], usual: Mapping[int, str]) -> None:
    """Finish a document in place. `usual` are the refusals that every route was given, by
    status: those that cannot come of an operation are taken away from it.
    """
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status in _impossible(method, path, operation):
                answer = operation["responses"].get(str(status))
                if answer is not None and answer["description"] == usual[status]:
                    del operation["responses"][str(status)]
            _exemplify(operation, schemas)


def _impossible(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[int]:
    parameters = {one["name"] for one in operation.get("parameters", ())}
    if "requestBody" not in operation:
        yield from (400, 413)
        if not parameters:
            yield 422
    if "{" not in path and "requestBody" not in operation:
        yield 404
    if method == "get":
        yield from (409, 412, 428)
    elif "If-Match" not in parameters:
        yield from (412, 428)
    elif method == "post":
        yield 428


def _exemplify(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in media and "examples" not in media:
            media["example"] = example_of(media["schema"], schemas)
    for status, answer in operation["responses"].items():
        for name, media in answer.get("content", {}).items():
            if "example" in media or "examples" in media or "schema" not in media:
                continue
            if name == PROBLEM_MEDIA:
                media["example"] = _refusal(int(status), answer["description"])
            elif name == "application/json":
                media["example"] = example_of(media["schema"], schemas)


def _refusal(status: int, what: str) -> dict[str, Any]:
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    code = _CODES.get(status, title.lower().replace(" ", "_"))
    refusal = {
        "type": "about:blank", "title": title, "status": status, "detail": what, "code": code,
    }  # fmt: skip
    return {**refusal, "errors": _ERRORS} if status == 422 else refusal


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that the schema allows: an example that it gives itself, else one made up.

    Of objects what is required, and what has an example.
    """
    if "$ref" in schema:
        schema = schemas[str(schema["$ref"]).removeprefix(_SCHEMAS)]
    if schema.get("examples"):
        return schema["examples"][0]
    for given in ("example", "const"):
        if given in schema:
            return schema[given]
    for group in ("anyOf", "oneOf"):
        if group in schema:
            return example_of(_chosen(schema[group], depth), schemas, depth)
    if schema.get("enum"):
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    if schema.get("type") == "object":
        return _object(schema, schemas, depth)
    if schema.get("type") == "array":
        items = schema.get("items")
        if items is None or (depth >= _DEPTH_MAX and not schema.get("minItems")):
            return []
        return [example_of(items, schemas, depth + 1)]
    return _scalar(schema)


def _chosen(ways: list[dict[str, Any]], depth: int) -> dict[str, Any]:
    """The first way that says something, unless it would go on and on."""
    nothing = next((one for one in ways if one.get("type") == "null"), None)
    if nothing is not None and depth >= _DEPTH_MAX:
        return nothing
    return next((one for one in ways if one is not nothing), ways[0])


def _object(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = schema.get("required", ())
    return {
        name: example_of(one, schemas, depth + 1)
        for name, one in properties.items()
        if name in required or "example" in one or "examples" in one
    }


def _scalar(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "integer":
        return max(1, schema.get("minimum", 1))
    if kind == "number":
        return float(schema.get("minimum", 1))
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    if schema.get("format") == "date-time":
        return INSTANT
    return "example"[: schema.get("maxLength", 7)]
