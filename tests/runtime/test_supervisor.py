"""The supervisor starts, watches, restarts within bounds and stops; nobody outlives it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.runtime.process import free_port
from services.runtime.supervisor import Part, PartState, Supervisor, SupervisorError
from tests.support.processes import gone

REPOSITORY = Path(__file__).parents[2]


def part(name: str, behaviour: str = "") -> Part:
    port = free_port()
    return Part(
        name=name,
        command=(sys.executable, "-m", "tests.support.echo_service", str(port), behaviour),
        environment={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]},
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path, ready_timeout_seconds=10.0, grace_seconds=5.0)
    yield made
    await made.stop()


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.child(name).pid
    assert pid is not None
    return pid


async def until_state(supervisor: Supervisor, name: str, state: PartState) -> None:
    async with asyncio.timeout(20):
        while supervisor.states()[name] is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_parts_are_ready_when_start_returns_and_gone_when_stop_does(
    supervisor: Supervisor,
) -> None:
    await supervisor.start([part("one"), part("two")])
    assert supervisor.states() == {"one": PartState.READY, "two": PartState.READY}
    pids = [pid_of(supervisor, name) for name in ("one", "two")]
    await supervisor.stop()
    assert all(gone(pid) for pid in pids)
    assert set(supervisor.states().values()) == {PartState.STOPPED}


async def test_a_part_that_ends_while_starting_stops_all_and_shows_its_last_words(
    supervisor: Supervisor,
) -> None:
    with pytest.raises(SupervisorError, match=r"(?s)bad ended with 3.*cannot go on"):
        await supervisor.start([part("good"), part("bad", "dies")])
    assert gone(pid_of(supervisor, "good"))


async def test_a_part_that_never_gets_ready_is_reported_in_time(tmp_path: Path) -> None:
    hasty = Supervisor(tmp_path, ready_timeout_seconds=0.5)
    with pytest.raises(SupervisorError, match="sleepy was not ready"):
        await hasty.start([part("sleepy", "unready")])
    assert gone(pid_of(hasty, "sleepy"))


async def test_a_part_that_dies_later_is_started_again(supervisor: Supervisor) -> None:
    await supervisor.start([part("one")])
    first = pid_of(supervisor, "one")
    supervisor.child("one").signal(signal.SIGKILL)
    await until_state(supervisor, "one", PartState.RESTARTING)
    await until_state(supervisor, "one", PartState.READY)
    assert pid_of(supervisor, "one") != first


@pytest.mark.slow
async def test_a_part_that_dies_too_often_is_given_up(
    tmp_path: Path,
) -> None:
    supervisor = Supervisor(tmp_path, restarts_max=1)
    await supervisor.start([part("one"), part("two")])
    failed = asyncio.create_task(supervisor.failed())
    supervisor.child("one").signal(signal.SIGKILL)
    await until_state(supervisor, "one", PartState.RESTARTING)
    await until_state(supervisor, "one", PartState.READY)
    assert not failed.done()
    supervisor.child("one").signal(signal.SIGKILL)
    error = await asyncio.wait_for(failed, 10)
    assert error.part == "one"
    assert supervisor.states() == {"one": PartState.FAILED, "two": PartState.READY}
    await supervisor.stop()


async def test_a_part_deaf_to_the_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    impatient = Supervisor(tmp_path, grace_seconds=0.2)
    await impatient.start([part("stubborn", "deaf")])
    await impatient.stop()
    assert impatient.child("stubborn").exit_code == -signal.SIGKILL
