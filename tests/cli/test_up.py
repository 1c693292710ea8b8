"""`cuestream up` as its user meets it: a process, a terminal's signals, nothing left behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.processes import children, gone, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.xdist_group("stack"), pytest.mark.timeout(240)]

COMMAND = "from services.cli.main import app; app()"
PARTS = 7
"""Broker, PostgreSQL, ingest, API, profile store, dispatcher and one worker."""


def surroundings(**added: str) -> dict[str, str]:
    """Our environment without settings of cuestream, and what is added."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUESTREAM_")}
    return {**kept, **added}


class Up:
    """A running `cuestream up`, with what it has printed."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.log = data_dir.with_suffix(".out")
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, "up", "--free-ports", "--data-dir", str(data_dir),
                 *arguments],
                env=surroundings(COLUMNS="200"),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def printed(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        def or_ended() -> bool:
            assert self.process.poll() is None, f"ended before {what}:\n{self.printed}"
            return condition()

        wait_until(or_ended, what, timeout_seconds=90)

    def wait_until_up(self) -> None:
        self.wait_for(lambda: "Ctrl-C stops everything" in self.printed, "cuestream to be up")

    def value(self, label: str) -> str:
        found = re.search(rf"{re.escape(label)}[^│]*│ (\S+)", self.printed)
        assert found is not None, self.printed
        return found[1]


@contextmanager
def running(data_dir: Path, *arguments: str) -> Iterator[Up]:
    up = Up(data_dir, *arguments)
    try:
        yield up
    finally:
        up.process.kill()
        up.process.wait()


def test_one_event_becomes_a_profile_and_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        up.wait_until_up()
        pids = children(up.process.pid)
        assert len(pids) == PARTS
        event = {"type": "track", "userId": "ana", "event": "Product Viewed", "messageId": "m1"}
        answer = httpx.post(
            f"{up.value('ingest')}/v1/track", json=event, auth=(up.value("write key"), "")
        )
        assert answer.status_code == 200, answer.text
        token = {"Authorization": f"Bearer {up.value('API token')}"}
        profile = f"{up.value('profiles')}/v1/profiles/ana"
        up.wait_for(
            lambda: httpx.get(profile, headers=token).status_code == 200, "the profile of ana"
        )
        # As a terminal does it: to everybody in the foreground.
        os.killpg(up.process.pid, signal.SIGINT)
        assert up.process.wait(60) == 0, up.printed
        assert all(gone(pid) for pid in pids)
        for service in ("ingest", "api", "profile_store", "dispatcher", "triggers_1"):
            last = (tmp_path / "data" / "logs" / f"{service}.log").read_text().splitlines()[-1]
            assert '"event": "stopped"' in last, f"{service}: {last}"
        assert "nothing is left running" in up.printed
        assert "embedded broker keeps the stream in memory" in up.printed


def test_definitions_outlive_a_kill_and_no_child_does(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--workers", "2") as first:
        first.wait_until_up()
        assert "example definitions" in first.printed
        pids = children(first.process.pid)
        assert len(pids) == PARTS + 1
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        wait_until(lambda: all(gone(pid) for pid in pids), "the children of the killed process")
    with running(tmp_path / "data") as second:
        second.wait_until_up()
        assert "the examples were left alone" in second.printed
        # Asked to stop by a supervisor of its own: the same clean end.
        pids = children(second.process.pid)
        os.kill(second.process.pid, signal.SIGTERM)
        assert second.process.wait(60) == 0, second.printed
        assert all(gone(pid) for pid in pids)


def test_an_interrupt_while_starting_leaves_nothing_running(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        up.wait_for(lambda: len(children(up.process.pid)) == PARTS, "the parts to be started")
        pids = children(up.process.pid)
        os.kill(up.process.pid, signal.SIGINT)
        assert up.process.wait(60) == 0, up.printed
        assert all(gone(pid) for pid in pids)


def test_a_part_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "up", "--free-ports", "--data-dir", str(data)],
        env=surroundings(CUESTREAM_INGEST_BATCH_EVENTS_MAX="0"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "ingest ended with 1" in done.stderr
    assert "CUESTREAM_INGEST_BATCH_EVENTS_MAX" in done.stderr
