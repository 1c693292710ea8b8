"""Alerts and dashboards speak of metrics that exist, with labels they have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.contracts.metrics import METRICS, Metric

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))

# What Prometheus and its client library add to the list of services/contracts/metrics.py.
SCRAPE_LABELS = {"job", "instance"}
FROM_THE_CLIENT = {
    "up",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def _series(metric: Metric) -> Iterator[tuple[str, set[str]]]:
    labels = set(metric.labels) | SCRAPE_LABELS
    if metric.kind == "histogram":
        yield from ((metric.name + suffix, labels | {"le"}) for suffix in OF_HISTOGRAMS)
    else:
        yield metric.name, labels


KNOWN = dict(pair for metric in METRICS for pair in _series(metric))
KNOWN |= dict.fromkeys(FROM_THE_CLIENT, SCRAPE_LABELS)


def _rule_expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def _dashboard_expressions() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"]


def problems_of(expression: str) -> list[str]:
    """Names that no process exports, and labels their series do not have."""
    found: list[str] = []
    for name, selector in re.findall(r"\b((?:cuestream|process)_\w+|up)\b(\{[^}]*\})?", expression):
        if name not in KNOWN:
            found.append(f"no metric {name}")
            continue
        found += [
            f"{name} has no label {label}"
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
            if label not in KNOWN[name]
        ]
    every_label = set().union(*KNOWN.values())
    for clause in re.findall(r"\bby \(([^)]*)\)", expression):
        found += [
            f"no label {label}" for label in re.split(r",\s*", clause) if label not in every_label
        ]
    return found


@pytest.mark.parametrize(("where", "expression"), [*_rule_expressions(), *_dashboard_expressions()])
def test_every_expression_asks_for_series_that_exist(where: str, expression: str) -> None:
    assert problems_of(expression) == [], where


def test_a_wrong_name_or_label_would_be_noticed() -> None:
    assert problems_of("sum(rate(cuestream_event_total[5m]))") == [
        "no metric cuestream_event_total"
    ]
    assert problems_of('cuestream_events_total{result="late"}') == [
        "cuestream_events_total has no label result"
    ]
    assert problems_of("rate(cuestream_decision_seconds[5m])") == [
        "no metric cuestream_decision_seconds"
    ]
    assert problems_of("sum by (le, kanal) (up)") == ["no label kanal"]


def test_dashboards_have_panels_with_names_and_places_of_their_own() -> None:
    assert DASHBOARDS
    for path in DASHBOARDS:
        panels: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["title"] for panel in panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{panel['title']} lies on another panel"
            assert place["x"] + place["w"] <= 24
            taken |= cells


def test_every_alert_has_a_severity_a_summary_and_its_paragraph_in_operations() -> None:
    headings = set(
        re.findall(r"^#+ (Cuestream\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    )
    alerts = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    for rule in alerts:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert headings == {rule["alert"] for rule in alerts}
