"""`cuestream apply` against the real API: diffs, one revision, nothing the second time."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.api import EXIT_FORBIDDEN, Refused
from services.cli.apply import apply
from services.cli.definitions import example_files
from services.contracts.errors import DefinitionError, Transient
from services.runtime.process import free_port
from tests.api.conftest import TOKEN

TAG = "kind: tag\nid: orders\naggregate: count\nevents: [Order Completed]\n"
TRIGGER = """kind: trigger
id: cart_left
entry:
  events: [Cart Updated]
  where: {tag: orders, op: gte, value: 2}
steps: [{send: {channel: log}}]
"""


def run(api_url: str, *paths: Path, dry_run: bool = False) -> tuple[int | None, str]:
    """The revision it made, and what it said."""
    said: list[str] = []
    applied = asyncio.run(apply(list(paths), api_url, TOKEN, dry_run, say=said.append))
    return applied.revision, "\n".join(said)


def test_all_files_go_in_one_revision_and_the_second_time_nothing(
    api_url: str, tmp_path: Path
) -> None:
    (tmp_path / "a_trigger.yaml").write_text(TRIGGER)
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "tag.json").write_text(
        '{"kind": "tag", "id": "orders", "aggregate": "count", "events": ["Order Completed"]}'
    )
    revision, said = run(api_url, tmp_path, dry_run=True)
    assert revision is None
    assert "2 of 2 definitions would change" in said
    revision, said = run(api_url, tmp_path)
    assert revision == 2
    assert "+++ triggers.cart_left version 1" in said
    assert run(api_url, tmp_path) == (None, "no changes")
    file = tmp_path / "a_trigger.yaml"
    file.write_text(TRIGGER.replace("value: 2", "value: 3"))
    revision, said = run(api_url, tmp_path)
    assert revision == 3
    changed = [line for line in said.splitlines() if line.startswith(("+ ", "- "))]
    assert [line.replace(" ", "") for line in changed] == ["-value:2", "+value:3"]
    file.write_text(TRIGGER + "status: archived\n")
    revision, said = run(api_url, file)
    assert (revision, "+++ archived" in said) == (4, True)


@pytest.mark.parametrize("name", ["shop", "retail", "lifecycle"])
def test_the_examples_that_are_shipped_are_right(api_url: str, name: str) -> None:
    files = example_files(name)
    assert run(api_url, *files)[0] == 2
    assert run(api_url, *files) == (None, "no changes")


def test_a_wrong_definition_is_named_with_its_file(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(TRIGGER)
    with pytest.raises(DefinitionError) as refused:
        run(api_url, file)
    ((place, _),) = refused.value.problems
    assert place == f"{file}: triggers.cart_left.entry.where.tag"


def test_what_is_right_and_worth_a_look_is_said_with_its_file_while_it_is_new(
    api_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "journey.yaml"
    steps = "steps: [{wait: {for: 1d}}, {send: {channel: log}}]"
    file.write_text(f"kind: trigger\nid: later\nentry: {{events: [Visit]}}\n{steps}\n")
    revision, said = run(api_url, file)
    assert revision == 2
    assert f"worth a look: {file}: triggers.later.exit: missing: " in said
    assert run(api_url, file) == (None, "no changes")


def test_an_api_that_is_away_or_refuses_the_token_is_said_so(tmp_path: Path, api_url: str) -> None:
    file = tmp_path / "tag.yaml"
    file.write_text(TAG)
    with pytest.raises(Transient):
        asyncio.run(apply([file], f"http://127.0.0.1:{free_port()}", TOKEN, False))
    with pytest.raises(Refused, match="bearer token") as refused:
        asyncio.run(apply([file], api_url, "wrong", False))
    assert refused.value.exit_code == EXIT_FORBIDDEN


def test_a_folder_without_definitions_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError):
        asyncio.run(apply([tmp_path], "http://127.0.0.1:1", TOKEN, False))


@pytest.mark.slow
def test_the_command_ends_with_3_and_a_line_for_each_problem(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(TRIGGER)
    # A process of its own: the command sets up the logs of the whole process.
    code, said = command(api_url, str(file))
    assert code == 3
    assert "triggers.cart_left.entry.where.tag:" in said.replace("\n", "")
    tag = tmp_path / "tag.yaml"
    tag.write_text(TAG)
    code, said = command(api_url, "--dry-run", str(file), str(tag))
    assert (code, "2 of 2 definitions would change" in said) == (0, True), said
    code, said = command(api_url, str(file), "-f", str(tag))
    assert (code, "revision 2: 2 of 2 definitions changed" in said) == (0, True), said
    assert command(api_url, str(tmp_path / "nowhere.yaml"))[0] == 1
    assert command(api_url)[0] == 2


def command(api_url: str, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `cuestream apply`."""
    done = subprocess.run(
        [sys.executable, "-c", "from services.cli.main import app; app()", "apply", *arguments],
        env={**os.environ, "CUESTREAM_API_URL": api_url, "CUESTREAM_API_TOKENS": f"{TOKEN},x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
