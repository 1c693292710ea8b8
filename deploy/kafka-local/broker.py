"""One Apache Kafka broker: its jars, its configuration, its process."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBS = HERE / "libs"
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


def tail_of(path: Path) -> str:
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
                raise Unavailable(f"formatting the storage failed:\n{tail_of(self.log)}")
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
                raise Unavailable(f"Kafka stopped while starting:\n{tail_of(self.log)}")
            if time.monotonic() > deadline:
                self.stop()
                raise Unavailable(
                    f"Kafka did not answer in {READY_SECONDS_MAX:.0f} s:\n{tail_of(self.log)}"
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
