"""Feeding history in: lines of the file over HTTP, and ticks that move time between days.

One person's messages travel on one connection, one request after another, so their order
holds. After each civil day everybody's messages are acknowledged before the day's midnight
is written into every partition as a tick: time never runs ahead of what happened.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from zlib import crc32

import httpx
import msgspec
from aiokafka import AIOKafkaProducer

from services.cli.retail import LOCAL_ZONE, Line, to_message
from services.contracts.codec import encode_json
from services.contracts.control import Tick
from services.contracts.errors import CuestreamError
from services.contracts.time import Micros, to_micros
from services.contracts.topics import KIND_HEADER, KIND_TICK

BATCH_EVENTS_MAX: Final = 100
"""What Segment's own server libraries put into one request."""
CHUNK_LINES_MAX: Final = 20_000
"""Lines held in memory at once; a day is seldom larger."""
TRAILING_DAYS: Final = 3
"""Midnights after the last day, so that sends put off for up to two days are decided."""
ATTEMPTS_MAX: Final = 8
RETRY_SECONDS_MAX: Final = 5.0
REQUEST_TIMEOUT_SECONDS: Final = 30.0
PACE_SLICE_SECONDS: Final = 0.02


class ReplayError(CuestreamError):
    """The replay cannot go on; the message says what to look at."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one day, and the instants to tick once all of them are acknowledged."""

    lines: list[Line]
    tick_at: tuple[Micros, ...]


def midnight_after(day: date) -> Micros:
    """The instant at which a civil day of the shop ends."""
    return to_micros(datetime.combine(day + timedelta(days=1), datetime.min.time(), LOCAL_ZONE))


def chunks(lines: Iterable[Line]) -> Iterator[Chunk]:
    """Cut lines in order of time into days; days without lines still tick."""
    held: list[Line] = []
    day: date | None = None
    for line in lines:
        today = date.fromisoformat(line.local_at[:10])
        if day is not None and today != day:
            ticks = tuple(
                midnight_after(day + timedelta(days=n)) for n in range((today - day).days)
            )
            yield Chunk(lines=held, tick_at=ticks)
            held = []
        elif len(held) == CHUNK_LINES_MAX:
            yield Chunk(lines=held, tick_at=())
            held = []
        day = today
        held.append(line)
    if day is not None:
        ticks = tuple(midnight_after(day + timedelta(days=n)) for n in range(TRAILING_DAYS + 1))
        yield Chunk(lines=held, tick_at=ticks)


def lane_of(line: Line, lanes: int) -> int:
    """The connection a line travels on: always the same for one person."""
    return crc32((line.customer or line.invoice).encode()) % lanes


class Sender:
    """Posts messages to ingest on several connections; counts nothing, for others decide.

    `sent_at` keeps the wall time in seconds at which each message first left, by message id.
    """

    def __init__(
        self,
        *,
        url: str,
        write_key: str,
        lanes: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = f"{url}/v1/batch"
        self.lanes: Final = lanes
        self._client = httpx.AsyncClient(
            auth=(write_key, ""),
            timeout=REQUEST_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=lanes, max_keepalive_connections=lanes),
            trust_env=False,
            transport=transport,
        )
        self.sent_at: dict[str, float] = {}

    async def send(self, lines: Sequence[Line], progress: Callable[[int], None]) -> None:
        """Send the lines and wait until ingest has acknowledged all of them.

        Raises:
            ReplayError: ingest cannot be reached, refuses whole requests, or stays busy.
        """
        lanes: list[list[Line]] = [[] for _ in range(self.lanes)]
        for line in lines:
            lanes[lane_of(line, self.lanes)].append(line)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    if lane:
                        group.create_task(self._send_lane(lane, progress))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _send_lane(self, lines: list[Line], progress: Callable[[int], None]) -> None:
        for start in range(0, len(lines), BATCH_EVENTS_MAX):
            batch = lines[start : start + BATCH_EVENTS_MAX]
            body = encode_json({"batch": [to_message(line) for line in batch]})
            now = time.time()
            for line in batch:
                self.sent_at.setdefault(line.message_id, now)
            await self._post(body)
            progress(len(batch))

    async def _post(self, body: bytes) -> None:
        headers = {"content-type": "application/json"}
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                answer = await self._client.post(self._url, content=body, headers=headers)
            except httpx.HTTPError as error:
                raise ReplayError(f"ingest at {self._url}: {error!r}") from error
            if answer.status_code == 200 or _all_refused(answer):
                return
            if answer.status_code not in (429, 503) or attempt == ATTEMPTS_MAX:
                raise ReplayError(f"ingest answered {answer.status_code}: {answer.text[:500]}")
            await asyncio.sleep(_retry_seconds(answer.headers.get("retry-after"), attempt))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _all_refused(answer: httpx.Response) -> bool:
    # A batch of nothing but lines without customer: each has had its verdict.
    if answer.status_code != 400:
        return False
    try:
        body = answer.json()
    except ValueError:
        return False
    return isinstance(body, dict) and body.get("code") == "all_refused"


def _retry_seconds(retry_after: str | None, attempt: int) -> float:
    try:
        asked = float(retry_after or "")
    except ValueError:
        asked = 0.05 * 2.0**attempt
    return min(max(asked, 0.05), RETRY_SECONDS_MAX)


async def send_ticks(
    producer: AIOKafkaProducer, topic: str, partitions: int, at: Iterable[Micros]
) -> dict[int, int]:
    """Write ticks into every partition, in order; returns the offset of the last by partition."""
    headers = [(KIND_HEADER, KIND_TICK)]
    pending: list[Any] = []
    for instant in at:
        value = encode_json(Tick(at=instant))
        for partition in range(partitions):
            pending.append(  # noqa: PERF401  (an await in each round)
                await producer.send(topic, value, partition=partition, headers=headers)
            )
    stored = await asyncio.gather(*pending)
    return {record.partition: record.offset for record in stored}


async def send_paced(
    sender: Sender, lines: Sequence[Line], rate: float, progress: Callable[[int], None]
) -> None:
    """Send lines at `rate` a second in small slices, as live traffic would come in.

    A slice that takes longer than its share of time delays the ones after it: the rate is
    then lower than asked for, never made up by a burst.
    """
    size = max(1, round(rate * PACE_SLICE_SECONDS))
    for start in range(0, len(lines), size):
        due = time.monotonic() + PACE_SLICE_SECONDS
        await sender.send(lines[start : start + size], progress)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
