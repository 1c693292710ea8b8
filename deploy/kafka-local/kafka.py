"""Run a real Apache Kafka on this machine: one node, KRaft, loopback only, no Docker.

`python deploy/kafka-local/kafka.py run` keeps it in the foreground and prints its address;
`start`, `status` and `stop` keep it in the background; `exec COMMAND ...` runs a command with
`CUESTREAM_KAFKA` set to one that lives as long as the command. Maven resolves the jars of
pom.xml into libs/ once. Needs Python's standard library, Java 17 or newer, and Maven.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from broker import HEAP_MB, HERE, STOP_SECONDS_MAX, Kafka, Unavailable, brokers_known, tail_of

DATA = HERE / "data"


def _state_file(data: Path) -> Path:
    return data / "running.json"


def _running(data: Path) -> dict[str, int] | None:
    """Pid and port of the broker that `start` left behind, if it still runs."""
    try:
        state: dict[str, int] = json.loads(_state_file(data).read_text())
        command = Path(f"/proc/{state['pid']}/cmdline")
        # The pid may long belong to somebody else.
        if command.parent.parent.exists() and b"kafka.Kafka" not in command.read_bytes():
            return None
        os.kill(state["pid"], 0)
    except (OSError, ValueError, KeyError):
        return None
    return state


def _wait_for_end_of_stdin(leave: threading.Event) -> None:
    sys.stdin.buffer.read()
    leave.set()


def run(data: Path | None, port: int, *, until_stdin_closes: bool, heap_mb: int) -> int:
    """Foreground: print the address, stay until a signal (or the end of stdin), stop cleanly."""
    leave = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: leave.set())
    with contextlib.ExitStack() as stack:
        folder = data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="cuestream-kafka-"))
        )
        kafka = Kafka(folder, port=port, heap_mb=heap_mb)
        stack.callback(kafka.stop)
        kafka.start()
        print(f"kafka {kafka.address}", flush=True)
        if until_stdin_closes:
            # Whoever holds the other end of the pipe may die without a word.
            threading.Thread(target=_wait_for_end_of_stdin, args=(leave,), daemon=True).start()
        while not leave.wait(0.25):
            if not kafka.alive():
                raise Unavailable(f"Kafka stopped by itself:\n{tail_of(kafka.log)}")
    return 0


def run_with(command: list[str], *, heap_mb: int) -> int:
    """Run the command beside a broker of its own, or beside the one of the environment."""
    if "CUESTREAM_KAFKA" in os.environ:
        return subprocess.run(command, check=False).returncode
    # Ctrl-C reaches the command too, which ends in its own way; the broker goes last.
    signal.signal(signal.SIGINT, lambda *_: None)
    with tempfile.TemporaryDirectory(prefix="cuestream-kafka-") as folder:
        kafka = Kafka(Path(folder), port=0, heap_mb=heap_mb)
        try:
            kafka.start()
            environment = {**os.environ, "CUESTREAM_KAFKA": kafka.address}
            with subprocess.Popen(command, env=environment) as process:
                signal.signal(signal.SIGTERM, lambda *_: process.terminate())
                return process.wait()
        finally:
            kafka.stop()


def start(data: Path, port: int, *, heap_mb: int) -> int:
    """Background: print the address and return once the broker is ready."""
    if (state := _running(data)) is not None:
        print(f"kafka 127.0.0.1:{state['port']}")
        return 0
    kafka = Kafka(data, port=port, heap_mb=heap_mb)
    kafka.start()
    _state_file(data).write_text(json.dumps({"pid": kafka.pid, "port": kafka.port}))
    print(f"kafka {kafka.address}")
    return 0


def stop(data: Path) -> int:
    """Stop the broker that `start` left running."""
    if (state := _running(data)) is None:
        print("kafka is not running")
        return 0
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while _running(data) is not None:
        if time.monotonic() > deadline:
            os.kill(state["pid"], signal.SIGKILL)
            break
        time.sleep(0.05)
    _state_file(data).unlink(missing_ok=True)
    print("kafka stopped")
    return 0


def status(data: Path) -> int:
    """Print whether the broker of `start` runs; the exit code is 0 if it does, else 3."""
    state = _running(data)
    if state is None or not brokers_known(state["port"]):
        print("kafka is not running")
        return 3
    print(f"kafka 127.0.0.1:{state['port']} (pid {state['pid']})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kafka.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--port", type=int, default=9092, help="0 picks a free one")
    running.add_argument("--heap-mb", type=int, default=HEAP_MB)
    placed = argparse.ArgumentParser(add_help=False)
    placed.add_argument("--data", type=Path, default=DATA, help="its folder")

    foreground = commands.add_parser("run", parents=[running], help="in the foreground")
    foreground.add_argument("--data", type=Path, help="its folder; else a temporary one")
    foreground.add_argument("--until-stdin-closes", action="store_true", help="also stop then")
    commands.add_parser("start", parents=[running, placed], help="in the background")
    commands.add_parser("stop", parents=[placed], help="the one of start")
    commands.add_parser("status", parents=[placed], help="of the one of start")
    beside = commands.add_parser("exec", help="a command, with CUESTREAM_KAFKA set to a broker")
    beside.add_argument("--heap-mb", type=int, default=HEAP_MB)
    beside.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "exec":
            return run_with(given.arguments, heap_mb=given.heap_mb)
        data: Path | None = given.data and given.data.absolute()
        if given.command == "run":
            stdin: bool = given.until_stdin_closes
            return run(data, given.port, until_stdin_closes=stdin, heap_mb=given.heap_mb)
        assert data is not None
        if given.command == "start":
            return start(data, given.port, heap_mb=given.heap_mb)
        return stop(data) if given.command == "stop" else status(data)
    except Unavailable as problem:
        print(f"kafka-local: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
