"""Write the documents that come from code: `make docs`; with `--check` only compare.

metrics.md is the list of services/contracts/metrics.py, definitions.schema.json the structs
of services/contracts/definitions.py, cli.md the commands' help texts, services/client the
operations of the marketers' API. They are committed, so that they can be read and linked without
running anything; a test keeps them current.
"""

import argparse
import asyncio
import inspect
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import msgspec
from generate_cli import cli_page
from generate_client import client_files
from pydantic import SecretStr

from services.contracts.definitions import KINDS
from services.contracts.metrics import METRICS, Metric
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from services.triggers.api.app import Access, make_app
from services.triggers.api.tag_report import tag_report_routes
from services.triggers.api.template_routes import template_routes
from services.triggers.api.trial import Around, routers_around
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.memory_access import MemoryAnswers, MemoryTokens
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.token_store import Tokens

DOCS = Path(__file__).resolve().parent
CLIENT = DOCS.parent / "services" / "client"


def metrics_page() -> str:
    """Every metric, by the service that exports it."""
    lines = [
        "# Metrics",
        "",
        "Generated from `services/contracts/metrics.py` by `make docs`; do not edit. Every",
        "process serves these at `/metrics`, beside `process_cpu_seconds_total`,",
        "`process_resident_memory_bytes` and their kin from the Prometheus client.",
        "Alerts on them: [operations](operations.md#alerts).",
        "",
    ]
    by_service = sorted(METRICS, key=lambda metric: metric.service)
    for service, metrics in groupby(by_service, key=lambda metric: metric.service):
        lines += [f"## {service}", "", "| metric | kind | unit | labels | meaning |"]
        lines += ["|---|---|---|---|---|", *(_metric_row(metric) for metric in metrics), ""]
    return "\n".join(lines)


def _metric_row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |"


def definitions_schema() -> str:
    """JSON Schema (2020-12) of one document of a definition file."""
    _, components = msgspec.json.schema_components(KINDS.values(), ref_template="#/$defs/{name}")
    for kind, struct in KINDS.items():
        schema = components[struct.__name__]
        # Files name the kind beside the fields; on the topic it stands in the record.
        schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
        schema["required"] = ["kind", *schema.get("required", [])]
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A definition of cuestream",
        "oneOf": [{"$ref": f"#/$defs/{struct.__name__}"} for struct in KINDS.values()],
        "$defs": components,
    }
    return json.dumps(_tidy(document), indent=2, ensure_ascii=False) + "\n"


def _tidy(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(part)
            if key == "description" and isinstance(part, str)
            else _tidy(part)
            for key, part in value.items()
        }
    return [_tidy(part) for part in value] if isinstance(value, list) else value


def api_document() -> dict[str, Any]:
    """The OpenAPI document of the marketers' API, as it is served.

    Nothing stands behind the routes: only what they say of themselves is asked.
    """
    nothing: Any = None
    definitions = Definitions(
        MemoryStore(Tables()), lambda _: [], workspace="default", now=lambda: 0
    )
    token = "any"  # noqa: S105  (of this application alone, which is gone at once)
    app = make_app(
        definitions,
        workspace="default",
        access=Access(
            static=BearerTokens(TokenSettings(api_tokens=SecretStr(token))),
            tokens=Tokens(MemoryTokens(Tables()), lambda: 0),
            answers=MemoryAnswers(),
            now=lambda: 0,
        ),
        metrics=Metrics(),
        health=Health(),
        more_routers=[
            template_routes(definitions, nothing),
            tag_report_routes(definitions, nothing, lambda: 0),
            *routers_around(
                Around(
                    definitions=definitions,
                    check=lambda _: [],
                    workspace="default",
                    store=nothing,
                    people=nothing,
                    commands=nothing,
                    jobs=nothing,
                    rollouts=nothing,
                    now=lambda: 0,
                )
            ),
        ],
    )

    async def ask() -> dict[str, Any]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            answer = await client.get(
                "/v1/openapi.json", headers={"authorization": f"Bearer {token}"}
            )
        return dict(answer.json())

    return asyncio.run(ask())


def main() -> int:
    """Entry point; 1 if `--check` found a document that is not current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    files = {
        DOCS / "cli.md": cli_page(),
        DOCS / "metrics.md": metrics_page(),
        DOCS / "definitions.schema.json": definitions_schema(),
        **{CLIENT / name: text for name, text in client_files(api_document()).items()},
    }
    stale: list[str] = []
    for path, text in files.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(DOCS.parent)))
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in sorted({*CLIENT.glob("operations/*.py")} - set(files)):
        stale.append(str(path.relative_to(DOCS.parent)))
        if not check:
            path.unlink()
    if stale:
        print(f"docs: {', '.join(stale)} {'not current: run make docs' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
