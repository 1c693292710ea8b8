"""The OpenAPI document says what the API does, with real schemas and examples that hold."""

import asyncio
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
from starlette.types import ASGIApp

from services.contracts.definitions import KINDS
from services.triggers.api.openapi import EXAMPLES
from services.triggers.definitions.actors import ROLES
from tests.api.conftest import client_of
from tests.api.whole import make_whole


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as the whole API serves it."""

    async def read() -> dict[str, Any]:
        async with client_of(await make_whole()) as client:
            answer = await client.get("/v1/openapi.json")
        assert answer.status_code == 200
        return dict(answer.json())

    return asyncio.run(read())


def operations_of(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def references(value: Any) -> set[str]:
    """All `$ref`s anywhere inside."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(one) for one in value.values()))
    if isinstance(value, list):
        return set().union(*(references(one) for one in value))
    return set()


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


def test_every_operation_says_its_problems_and_its_role(document: dict[str, Any]) -> None:
    for path, method, operation in operations_of(document):
        assert {"401", "403", "503"} <= set(operation["responses"]), (path, method)
        assert operation["x-role"] in ROLES, (path, method)
        if method in ("put", "patch"):
            assert "requestBody" in operation, (path, method)
        if "requestBody" in operation:
            assert {"400", "413", "422"} <= set(operation["responses"]), (path, method)
    assert document["security"] == [{"bearer": []}]


def test_every_operation_has_a_name_of_its_own_that_a_client_can_use(
    document: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, _, operation in operations_of(document)]
    assert [name for name in names if not name.isidentifier()] == []
    assert len(set(names)) == len(names)
    assert {"list_triggers", "publish_trigger", "read_trigger_version", "preview_template"} <= set(
        names
    )


def test_everything_sent_and_answered_has_an_example_that_fits_its_schema(
    document: dict[str, Any],
) -> None:
    components = {"components": document["components"]}
    checked = 0
    for path, method, operation in operations_of(document):
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for name, media in part.get("content", {}).items():
                examples = [media["example"]] if "example" in media else []
                examples += [one["value"] for one in media.get("examples", {}).values()]
                assert examples, (path, method, name)
                for one in examples:
                    _fits(one, {**media["schema"], **components}, (path, method, name))
                    checked += 1
    assert checked > 1000


_validators: dict[str, Any] = {}


def _fits(value: Any, schema: dict[str, Any], place: object) -> None:
    # The same components stand behind all of them: to prepare them takes longer than to ask.
    key = str({name: one for name, one in schema.items() if name != "components"})
    if key not in _validators:
        _validators[key] = jsonschema.Draft202012Validator(schema)
    found = [error.message for error in _validators[key].iter_errors(value)]
    assert found == [], place


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
