"""The OpenAPI document says what the API does, with real schemas and examples that hold."""

from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
from starlette.types import ASGIApp

from services.contracts.definitions import KINDS
from services.triggers.api.openapi import EXAMPLES

WITH_BODY = ("/submit", "/approve", "/reject", "/rollback")


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    """The document as it is served."""
    answer = await client.get("/v1/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def references(value: Any) -> set[str]:
    """All `$ref`s anywhere inside."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(one) for one in value.values()))
    if isinstance(value, list):
        return set().union(*(references(one) for one in value))
    return set()


async def test_every_reference_resolves(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


async def test_every_operation_says_its_problems_and_its_body(document: dict[str, Any]) -> None:
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) == 111
    for path, method, operation in operations:
        assert {"401", "403", "503"} <= set(operation["responses"]), (path, method)
        has_body = method in ("put", "patch") or (
            method == "post" and (path.count("/") == 2 or path.endswith(WITH_BODY))
        )
        assert ("requestBody" in operation) == has_body, (path, method)
    assert document["security"] == [{"bearer": []}]


@pytest.mark.parametrize("kind", EXAMPLES)
async def test_examples_fit_their_schema_and_decode(document: dict[str, Any], kind: str) -> None:
    schema = {
        "$ref": f"#/components/schemas/{kind.capitalize()}",
        "components": document["components"],
    }
    jsonschema.validate(EXAMPLES[kind], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(EXAMPLES[kind] | {"colour": "red"}, schema)
    msgspec.convert(EXAMPLES[kind], KINDS[kind])


async def test_answers_fit_their_schemas(
    document: dict[str, Any], client: httpx.AsyncClient, app: ASGIApp
) -> None:
    def fits(answer: httpx.Response, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(answer.json(), schema)

    given = [{"kind": kind, **example} for kind, example in EXAMPLES.items()]
    applied = await client.post("/v1/apply", json={"definitions": given})
    assert applied.status_code == 200, applied.text
    fits(applied, "ApplyResult")
    fits(await client.get("/v1/triggers"), "TriggerPage")
    fits(await client.get("/v1/tags/orders_30d"), "TagResource")
    fits(await client.get("/v1/policies/mail_weekly"), "PolicyResource")
    fits(await client.get("/v1/workspace"), "WorkspaceResource")
    fits(await client.get("/v1/revisions/current"), "RevisionState")
    fits(await client.post("/v1/tags", json={}), "Problem")
