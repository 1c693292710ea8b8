"""The OpenAPI document is true: whatever a client makes of it, the answer is one it names."""

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.ingest.app import PATHS
from tests.ingest.support import Server, basic

server = Server()
# The other paths are these two under other names.
schema = schemathesis.openapi.from_asgi("/openapi.json", server.ingest.app).include(
    path_regex="^/v1/(batch|track)$"
)


@schema.parametrize()
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_the_document_names(case: Any) -> None:
    server.forget()
    answer = case.call(headers=basic("local"))
    case.validate_response(
        answer,
        checks=[
            schemathesis.checks.not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )


def test_the_document_names_every_path_and_how_to_authenticate() -> None:
    async def get() -> Any:
        return (await server.client.get("/openapi.json")).json()

    document = asyncio.run(get())
    assert set(document["paths"]) == set(PATHS)
    assert document["components"]["securitySchemes"]["writeKey"]["scheme"] == "basic"
