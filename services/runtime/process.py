"""Child processes that cannot outlive us: started, watched and stopped the same way."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_TAIL_BYTES_MAX = 4096
PORTS = range(15_000, 32_000)
PORT_TRIES_MAX = 100


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on now; another process may still take it before we do.

    It lies below the range from which Linux takes ports for outgoing connections (32768 and
    up by default): one of those would otherwise sit on it now and then.
    """
    for _ in range(PORT_TRIES_MAX):
        # Not `random`: processes with the same seed would look in the same places.
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def accepts(host: str, port: int, timeout_seconds: float = 0.5) -> bool:
    """Whether somebody accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout_seconds):
            return True
    except OSError:
        return False


class Child:
    """One child process, in a session of its own (a terminal's Ctrl-C does not reach it).

    Output goes to `log`. When the thread that called `start` ends, even by SIGKILL of its
    process, the kernel sends the child `death_signal` (Linux only; elsewhere a killed
    parent leaves it running). `account` is whom root becomes for it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        account: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns before it is ready. Call from a thread that lives on."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())]
        launcher += [str(int(self._death_signal)), self._account or "-", "--"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  (no shell, our own command)
                [*launcher, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=None if self._environment is None else dict(self._environment),
            )

    @property
    def pid(self) -> int | None:
        """Process id of the last start."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs or was never started, else the code (negative: the signal)."""
        return None if self._process is None else self._process.poll()

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def ask_to_stop(self) -> None:
        """Send the signal that makes it stop cleanly; does not wait."""
        self.signal(self._stop_signal)

    def stop(self, grace_seconds: float = 10.0) -> bool:
        """Stop it and wait; after `grace_seconds` kill it. Returns whether it went by itself."""
        if self._process is None:
            return True
        self.ask_to_stop()
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True

    def log_tail(self) -> str:
        """The end of its output."""
        try:
            with self.log.open("rb") as output:
                size = output.seek(0, os.SEEK_END)
                output.seek(max(0, size - LOG_TAIL_BYTES_MAX))
                return output.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
