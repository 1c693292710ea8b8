"""deploy/kubernetes: the manifests agree with compose and keep their own promises."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
SERVICES = ("ingest", "triggers", "triggers-api", "profile-store", "dispatcher")


def _documents(name: str) -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    return {document["kind"]: document for document in documents}


def _pod(document: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = document["spec"]["template"]["spec"]
    return pod


def _mounted_secrets(pod: dict[str, Any]) -> set[str]:
    return {
        item["path"]
        for volume in pod["volumes"]
        if "secret" in volume
        for item in volume["secret"]["items"]
    }


def test_the_kustomization_lists_every_manifest() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert (
        set(listed) == there == {"namespace.yaml", "setup.yaml"} | {f"{s}.yaml" for s in SERVICES}
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_probed_drained_and_found(name: str) -> None:
    documents = _documents(name)
    pod = _pod(documents["Deployment"])
    (container,) = pod["containers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]

    assert container["args"] == compose["command"]
    (port,) = container["ports"]
    assert f":{port['containerPort']}/readyz" in compose["environment"]["HEALTH_URL"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert documents["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert documents["Deployment"]["spec"]["replicas"] >= 2
    labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("PodDisruptionBudget", "Deployment"):
        assert documents[kind]["spec"]["selector"]["matchLabels"] == labels
    assert documents["Service"]["spec"]["selector"] == labels


@pytest.mark.parametrize("name", [*SERVICES, "setup"])
def test_pods_run_without_root_and_know_only_their_own_secrets(name: str) -> None:
    documents = _documents(name)
    pod = _pod(documents.get("Deployment") or documents["Job"])
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]
    assert _mounted_secrets(pod) == set(compose.get("secrets", ()))
