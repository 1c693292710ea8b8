"""The scripts of deploy/ that run without an environment of ours."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from services.runtime.sealing import Keyring
from tests.support.health import serve_status

ROOT = Path(__file__).parents[2]


def _run(script: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "deploy" / script), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = _run("make_secrets.py", "--folder", str(folder))
    assert first.returncode == 0, first.stderr
    made = {path.name: path.read_text() for path in folder.iterdir()}

    again = _run("make_secrets.py", "--folder", str(folder))
    assert again.returncode == 0, again.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == made

    compose = (ROOT / "docker-compose.yml").read_text()
    assert all(f"deploy/secrets/{name}" in compose for name in made)
    assert compose.count("file: deploy/secrets/") == len(made)
    assert Keyring(made["cuestream_sensitive_keys"]).sealing
    assert made["postgres_password"] in made["cuestream_database_url"]
    assert not any(value in first.stdout for value in made.values())


def test_only_the_owner_may_enter_the_folder_of_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    _run("make_secrets.py", "--folder", str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_part_that_is_ready_is_healthy() -> None:
    with serve_status(200) as url:
        answer = _run("healthcheck.py", HEALTH_URL=url)
    assert answer.returncode == 0, answer.stdout


def test_a_part_that_is_not_ready_or_gone_is_unhealthy_and_says_why() -> None:
    with serve_status(503) as url:
        answer = _run("healthcheck.py", HEALTH_URL=url)
    assert answer.returncode == 1
    assert "503 answer" in answer.stdout
    gone = _run("healthcheck.py", HEALTH_URL=url)
    assert gone.returncode == 1
    assert url in gone.stdout
