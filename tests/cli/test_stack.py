"""What a stack settles before it starts anything: ports, secrets, logs."""

import socket
import stat
from pathlib import Path

import pytest

from services.cli.stack import Stack, StackSettings
from services.contracts.errors import CuestreamError
from services.runtime.process import free_port


def make(tmp_path: Path, **settings: object) -> Stack:
    return Stack(StackSettings(data_dir=tmp_path / "data", **settings))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUESTREAM_WRITE_KEYS", "CUESTREAM_API_TOKENS"):
        monkeypatch.delenv(name, raising=False)


def test_secrets_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    assert first.write_key == second.write_key
    assert first.api_token == second.api_token
    assert first.write_key != first.api_token
    assert len(first.write_key) == 32
    for name in ("write-key", "api-token"):
        mode = stat.S_IMODE((tmp_path / "data" / name).stat().st_mode)
        assert mode == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_configured_secrets_are_used_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUESTREAM_WRITE_KEYS", "one,two")
    stack = make(tmp_path, environment={"CUESTREAM_API_TOKENS": "sesame"})
    assert (stack.write_key, stack.api_token) == ("one", "sesame")
    assert not (tmp_path / "data" / "write-key").exists()


async def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {name: free_port() for name in ("api", "profile_store", "dispatcher", "triggers")}
        stack = make(tmp_path, ports={**ports, "ingest": port})
        with pytest.raises(CuestreamError, match=f"port {port} for ingest is taken"):
            await stack.__aenter__()
    assert not (tmp_path / "data" / "postgres").exists()


async def test_the_last_runs_logs_are_put_aside(tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    (logs / "ingest.log").write_text("the last run")
    (logs / "ingest.log.1").write_text("the one before")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(CuestreamError):
            await make(tmp_path, ports={"ingest": taken}, free_ports=True).__aenter__()
    assert (logs / "ingest.log.1").read_text() == "the last run"
    assert not (logs / "ingest.log").exists()


def test_the_databases_password_is_not_shown(tmp_path: Path) -> None:
    stack = make(tmp_path)
    stack.database_url = "postgresql+asyncpg://cuestream:secret@127.0.0.1:5432/cuestream"
    assert "secret" not in stack.database_address
    assert "127.0.0.1:5432" in stack.database_address
