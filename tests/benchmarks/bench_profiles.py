"""How long `GET` of a profile takes at a steady thousand requests a second.

`python -m tests.benchmarks.bench_profiles [rate] [people]`. The store runs as it does in
production, with broker and PostgreSQL, all on the same two cores as the client. The client
sends on time whatever the answers do: a request that had to wait for a connection waited, and
that is counted. Warmed up first.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.cli.migrations import migrate_all
from services.contracts.topics import TOPICS
from services.runtime.embedded import EmbeddedBroker, EmbeddedPostgres
from services.runtime.embedded.broker import ENVIRONMENT
from services.runtime.kafka import create_topics
from services.runtime.process import Child, free_port
from services.runtime.settings import KafkaSettings
from tests.benchmarks.harness import PARTITIONS, percentile
from tests.benchmarks.population import fill

RATE: Final = 1_000
PEOPLE: Final = 200_000
CONNECTIONS: Final = 16
WARM_UP_SECONDS: Final = 3
MEASURED_SECONDS: Final = 20
READY_SECONDS_MAX: Final = 60.0
TOKEN: Final = "bench"


@dataclass
class Load:
    """Requests at a fixed pace, each timed from the moment it was to be sent."""

    port: int
    rate: int
    people: int
    took: list[float] = field(default_factory=list)
    wrong: int = 0

    async def run(self, seconds: float) -> None:
        """Send for so long, then wait for the last answers."""
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", self.port))
        chance, begun, tasks = random.Random(7), time.perf_counter(), set()
        for number in range(int(seconds * self.rate)):
            at = begun + number / self.rate
            wait = at - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.add(asyncio.create_task(self._one(free, at, chance.randrange(self.people))))
        await asyncio.gather(*tasks)
        while not free.empty():
            _, writer = free.get_nowait()
            writer.close()

    async def _one(
        self,
        free: "asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]",
        at: float,
        person: int,
    ) -> None:
        reader, writer = await free.get()
        try:
            writer.write(
                f"GET /v1/profiles/user-{person} HTTP/1.1\r\nHost: store\r\n"
                f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
        finally:
            free.put_nowait((reader, writer))
        self.took.append(time.perf_counter() - at)
        self.wrong += not (head.startswith(b"HTTP/1.1 200") and b'"segments"' in body)


async def measure(folder: Path, broker: str, url: str, rate: int, people: int) -> None:
    """Fill, run the store, load it, print the figures."""
    settings = KafkaSettings(kafka=broker, kafka_idempotence=False, partitions=PARTITIONS)
    await migrate_all(url)
    await create_topics(settings, TOPICS)
    await fill(url, people)
    port = free_port()
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "CUESTREAM_KAFKA": broker,
        "CUESTREAM_DATABASE_URL": url,
        "CUESTREAM_API_TOKENS": TOKEN,
        "CUESTREAM_PROFILE_STORE_PORT": str(port),
    }
    store = Child(
        "profile-store",
        [sys.executable, "-m", "services.profile_store"],
        log=folder / "profile_store.log",
        environment=environment,
    )
    store.start()
    try:
        await _until_it_listens(port, store)
        await Load(port, rate, people).run(WARM_UP_SECONDS)
        load = Load(port, rate, people)
        begun = time.perf_counter()
        await load.run(MEASURED_SECONDS)
        seconds = time.perf_counter() - begun
    finally:
        store.stop()
    took = [one * 1000 for one in load.took]
    print(f"{people:,} people, {len(took) / seconds:,.0f} requests/s, {load.wrong} wrong answers")
    print(
        f"p50 {percentile(took, 0.5):.2f} ms, p99 {percentile(took, 0.99):.2f} ms,"
        f" longest {max(took):.1f} ms"
    )


async def _until_it_listens(port: int, store: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(store.log_tail()) from None
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


def main() -> None:
    """Run once."""
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else RATE
    people = int(sys.argv[2]) if len(sys.argv) > 2 else PEOPLE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            EmbeddedBroker(log_dir=folder) as broker,
            EmbeddedPostgres(folder / "database", log_dir=folder) as server,
        ):
            asyncio.run(measure(folder, broker.address, server.url(), rate, people))


if __name__ == "__main__":
    main()
