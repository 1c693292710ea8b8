"""Write the documents that come from code: `make docs`; with `--check` only compare.

metrics.md is the list of services/contracts/metrics.py, definitions.schema.json the structs
of services/contracts/definitions.py. Both are committed, so that they can be read and linked
without running anything; a test keeps them current.
"""

import argparse
import inspect
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from services.contracts.definitions import KINDS
from services.contracts.metrics import METRICS, Metric

DOCS = Path(__file__).resolve().parent


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


def main() -> int:
    """Entry point; 1 if `--check` found a document that is not current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    stale: list[str] = []
    for name, text in (
        ("metrics.md", metrics_page()),
        ("definitions.schema.json", definitions_schema()),
    ):
        path = DOCS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"docs: {', '.join(stale)} {'not current: run make docs' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
