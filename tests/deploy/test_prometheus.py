"""Prometheus' own tool judges its configuration, the rules, and when they fire."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
LOCAL_TOOL = ROOT / ".cuestream/tools/promtool"


@pytest.fixture(scope="module")
def promtool() -> str:
    """Path of promtool, on the PATH or where `.ci/run` puts it."""
    found = str(LOCAL_TOOL) if LOCAL_TOOL.exists() else shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing (Debian: apt-get install prometheus)")
    return found


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
)
def test_promtool_accepts_what_stands_in_deploy(promtool: str, arguments: tuple[str, ...]) -> None:
    answer = subprocess.run(
        [promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_is_tried_by_a_test_of_the_rules() -> None:
    rules = yaml.safe_load((FOLDER / "rules.yml").read_text())
    tests = (FOLDER / "rules_test.yml").read_text()
    named = set(re.findall(r"Cuestream[A-Z]\w+", tests))
    assert {rule["alert"] for group in rules["groups"] for rule in group["rules"]} == named


def test_prometheus_scrapes_every_service_of_compose_that_serves_metrics() -> None:
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    }
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    health_urls = {
        name: service["environment"]["HEALTH_URL"]
        for name, service in compose.items()
        if "HEALTH_URL" in service.get("environment", {})
    }
    assert set(jobs) - {"prometheus"} == set(health_urls)
    for name, url in health_urls.items():
        (source,) = jobs[name]["dns_sd_configs"]
        assert source["names"] == [name]
        assert f":{source['port']}/" in url
