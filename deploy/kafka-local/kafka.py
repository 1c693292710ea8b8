"""Run a real Apache Kafka on this machine: one node, KRaft, loopback only, no Docker.

`python deploy/kafka-local/kafka.py run` keeps it in the foreground and prints its address;
`start`, `status` and `stop` keep it in the background. Maven resolves the jars of pom.xml
into libs/ once. Needs Python's standard library, Java 17 or newer, and Maven.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBS = HERE / "libs"
DATA = HERE / "data"
JAVA_MAJOR_MIN = 17
HEAP_MB = 512
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LOG_TAIL_LINES = 25
# The id only has to be the same for all nodes of a cluster, and there is one.
CLUSTER_ID = "Y3Vlc3RyZWFtLWxvY2FsMQ"

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
num.partitions=8
# A topic that nobody created on purpose is a misspelt one.
auto.create.topics.enable=false
# One node: its own topics cannot have more replicas than that.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# Tests join, kill and rejoin groups all the time.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


class Unavailable(Exception):
    """Kafka cannot run here; the message says what is missing and what to do."""


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-LOG_TAIL_LINES:])


def find_java() -> str:
    """Path of a `java` that Kafka's broker can run on.

    Raises:
        Unavailable: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin"))) if home else None
    java = java or shutil.which("java")
    if java is None:
        raise Unavailable(
            f"java is missing: install a JRE of version {JAVA_MAJOR_MIN} or newer "
            "(Debian: apt-get install openjdk-17-jre-headless)"
        )
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)', answer.stderr)
    if match is None or int(match[1]) < JAVA_MAJOR_MIN:
        found = answer.stderr.splitlines()[:1]
        raise Unavailable(f"{java} is {found}: Kafka 4 needs Java {JAVA_MAJOR_MIN} or newer")
    return java


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def resolve_jars() -> Path:
    """Folder with Kafka's jars as pom.xml says, resolved by Maven when it changed.

    Raises:
        Unavailable: Maven is missing or could not resolve them.
    """
    wanted = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()
    stamp = LIBS / "pom.sha256"
    with _only_one(HERE / ".libs.lock"):
        if stamp.exists() and stamp.read_text() == wanted:
            return LIBS
        maven = shutil.which("mvn")
        if maven is None:
            raise Unavailable("mvn is missing: install Maven (Debian: apt-get install maven)")
        shutil.rmtree(LIBS, ignore_errors=True)
        command = [maven, "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={LIBS}", "-DincludeScope=runtime"]
        print("kafka-local: resolving Kafka's jars with Maven", file=sys.stderr, flush=True)
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0 or not LIBS.is_dir():
            raise Unavailable(f"Maven could not resolve Kafka:\n{answer.stdout}{answer.stderr}")
        stamp.write_text(wanted)
    return LIBS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def brokers_known(port: int) -> int:
    """How many brokers the one at `port` names in a Metadata answer; 0 while it is not ready.

    A raw request (Metadata version 4, no topics): the port accepts connections some time
    before the broker has joined its own cluster, and clients in that gap see no leader.
    """
    client = b"kafka-local"
    body = struct.pack(">hhih", 3, 4, 1, len(client)) + client + struct.pack(">ib", 0, 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as link:
            link.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _read_exactly(link, 4))
            answer = _read_exactly(link, size)
    except OSError:
        return 0
    # Correlation id and throttle time stand before the array of brokers.
    return int(struct.unpack_from(">i", answer, 8)[0])


class Kafka:
    """One broker and its folder. Not for two threads at once."""

    def __init__(self, data: Path, *, port: int, heap_mb: int = HEAP_MB) -> None:
        self.data = data
        self.port = port or _free_port()
        self.heap_mb = heap_mb
        self.log = data / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def start(self) -> None:
        """Format the storage where that is needed, start the broker, wait until it answers.

        Raises:
            Unavailable: something needed is missing, or the broker stopped or hung; the
                message has the end of its log.
        """
        java, jars = find_java(), resolve_jars()
        self.data.mkdir(parents=True, exist_ok=True)
        if brokers_known(self.port):
            raise Unavailable(f"a broker is already listening at {self.address}")
        config = self.data / "server.properties"
        config.write_text(
            SERVER_PROPERTIES.format(
                port=self.port, controller_port=_free_port(), logs=self.data / "logs"
            )
        )
        base = [java, f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"]
        # The JVM's own defaults size heap and collector for a machine of its own.
        small = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx64M"]
        path = ["-cp", f"{jars}/*"]
        formatting = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        formatting += ["-t", CLUSTER_ID, "-c", str(config)]
        with self.log.open("ab") as log:
            answer = subprocess.run(
                [*base, *small, *path, *formatting], stdout=log, stderr=log, check=False
            )
            if answer.returncode != 0:
                raise Unavailable(f"formatting the storage failed:\n{_tail(self.log)}")
            heap = [f"-Xms{min(256, self.heap_mb)}M", f"-Xmx{self.heap_mb}M", "-XX:+UseG1GC"]
            # A session of its own: Ctrl-C reaches the script, which then stops the broker.
            self._process = subprocess.Popen(
                [*base, *heap, *path, "kafka.Kafka", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not brokers_known(self.port):
            if self._process is not None and self._process.poll() is not None:
                raise Unavailable(f"Kafka stopped while starting:\n{_tail(self.log)}")
            if time.monotonic() > deadline:
                self.stop()
                raise Unavailable(
                    f"Kafka did not answer in {READY_SECONDS_MAX:.0f} s:\n{_tail(self.log)}"
                )
            time.sleep(0.05)

    def alive(self) -> bool:
        """Whether the broker's process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the broker cleanly, by force after `STOP_SECONDS_MAX`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


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
                raise Unavailable(f"Kafka stopped by itself:\n{_tail(kafka.log)}")
    return 0


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


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="kafka.py", description=__doc__)
    parser.add_argument("command", choices=("run", "start", "stop", "status", "resolve"))
    parser.add_argument("--port", type=int, default=9092, help="0 picks a free one")
    parser.add_argument("--data", type=Path, help="folder; run without it uses a temporary one")
    parser.add_argument("--heap-mb", type=int, default=HEAP_MB)
    parser.add_argument("--until-stdin-closes", action="store_true", help="run: also stop then")
    given = parser.parse_args(arguments)
    data = (given.data or DATA).absolute()
    try:
        if given.command == "run":
            return run(
                given.data and data,
                given.port,
                until_stdin_closes=given.until_stdin_closes,
                heap_mb=given.heap_mb,
            )
        if given.command == "start":
            return start(data, given.port, heap_mb=given.heap_mb)
        if given.command == "resolve":
            print(resolve_jars())
            return 0
        return stop(data) if given.command == "stop" else status(data)
    except Unavailable as problem:
        print(f"kafka-local: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
