"""Running the demo by its command, and comparing what it came to with the oracle."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from sqlalchemy.engine import make_url

from services.runtime.embedded import EmbeddedPostgres
from tests.e2e.retail_pandas import Oracle
from tests.e2e.retail_profiles import Profile, wrong_profiles
from tests.support.servers import run

PROGRAM = Path(sys.executable).with_name("cuestream")


@dataclass(frozen=True)
class Ran:
    """A finished demo: its exit code, what it printed and wrote, and PostgreSQL afterwards."""

    code: int
    printed: str
    summary: dict[str, Any]
    profiles: Mapping[str, Profile]


def run_demo(folder: Path, *, file: Path | None, timeout_seconds: float) -> Ran:
    """Run `cuestream demo` to its end, then open its database once more and read it."""
    written = folder / "summary.json"
    command = [str(PROGRAM), "demo", "--json", str(written), "--data-dir", str(folder / "data")]
    done = subprocess.run(
        [*command, *(["--file", str(file)] if file else [])],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )
    printed = done.stdout + done.stderr
    assert written.is_file(), printed
    with EmbeddedPostgres(
        folder / "data" / "postgres", log_dir=folder / "logs", durable=False
    ) as server:
        rows = run(_profiles(server.url()))
    return Ran(
        code=done.returncode,
        printed=printed,
        summary=msgspec.json.decode(written.read_bytes()),
        profiles={
            row["person"]: Profile(
                as_of=row["as_of"] // 1_000_000,
                tags=msgspec.json.decode(row["tags"]),
                approximate=frozenset(msgspec.json.decode(row["approximate"])),
                messages_accepted=row["messages_accepted"],
            )
            for row in rows
        },
    )


async def _profiles(url: str) -> list[asyncpg.Record]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(
            "SELECT person, as_of, tags::text AS tags, approximate::text AS approximate,"
            " messages_accepted FROM profile_store.profiles"
        )
        return rows
    finally:
        await connection.close()


def differences(ran: Ran, oracle: Oracle) -> list[str]:
    """Every total in which the demo and the oracle do not say the same."""
    summary, sends = ran.summary, oracle.sends()
    wanted = {
        **oracle.totals(),
        "logged": len(oracle.known),
        "people_seen": oracle.totals()["people"],
        "decisions": {name: dict(counts) for name, counts in oracle.decisions.items()},
        "caps": dict(oracle.policies),
        "sends": {name: {"log": count} for name, count in sends.items()},
        "ledger": {"accepted": sum(sends.values())},
        "deliveries": {"accepted": sum(sends.values())},
        "tag_values": sum(
            value is not None
            for profile in ran.profiles.values()
            for value in profile.tags.values()
        ),
    }
    reached = sum(profile.messages_accepted for profile in ran.profiles.values())
    wanted["messages_accepted"] = reached
    # Not all of them: a send is forgotten after seven days, which pass quickly in a replay.
    found = [] if 0 < reached <= sum(sends.values()) else [f"profiles count {reached} messages"]
    found += [
        f"{name}: the demo says {summary[name]}, the file {value}"
        for name, value in wanted.items()
        if summary[name] != value
    ]
    return found + wrong_profiles(oracle.known, ran.profiles)
