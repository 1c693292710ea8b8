"""Requests made up from the OpenAPI document: no answer is a server's error, all fit it."""

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.service import Definitions
from services.triggers.engine import check
from tests.api.conftest import TOKEN, make_api

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def _schema() -> Any:
    """The document, bound to an application over a store in memory; read at collection, since
    each operation becomes a test.
    """
    definitions = Definitions(MemoryStore(Tables()), check, workspace="default", now=lambda: 1)
    asyncio.run(definitions.bootstrap())
    document = schemathesis.openapi.from_asgi(
        "/v1/openapi.json", make_api(definitions), headers=HEADERS
    )
    # The kinds share their routes; the recursive schema of conditions takes seconds to unfold.
    return document.include(path_regex="/v1/(policies|workspace|revisions)")


schema = _schema()


@schema.parametrize()  # type: ignore[untyped-decorator]
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_made_up_request_is_answered_by_a_server_error(case: Any) -> None:
    case.call_and_validate(headers=HEADERS, checks=CHECKS)
