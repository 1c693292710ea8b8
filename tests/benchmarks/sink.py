"""The other end of the webhook benchmark: accepts everything, and says how late it came.

`python -m tests.benchmarks.sink [seconds]`: prints its port, then serves until it is ended, each
answer so late. `GET /` gives the figures as JSON: requests, repeated ids, and how long after
`decided_at` each came, in all and by trigger.
"""

import asyncio
import sys
import time
from collections import defaultdict
from typing import cast

import msgspec
import uvloop

from tests.benchmarks.harness import percentile

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Data(msgspec.Struct, gc=False):
    """What matters of a webhook's data."""

    send_id: str
    trigger: str
    decided_at: int


class Payload(msgspec.Struct, gc=False):
    """A webhook."""

    data: Data


class Late(msgspec.Struct):
    """How late so many came, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float


class Figures(msgspec.Struct):
    """What came so far; the times are of what came since they were asked for last."""

    requests: int
    repeated: int
    p50_ms: float
    p99_ms: float
    by_trigger: dict[str, Late]


decode = msgspec.json.Decoder(Payload).decode
seen: set[str] = set()
late_ms: defaultdict[str, list[float]] = defaultdict(list)
answer_after = 0.0
requests = 0


def share(late: list[float], part: float) -> float:
    """The percentile, also of very few."""
    return percentile(late, part) if len(late) > 1 else sum(late)


def figures() -> bytes:
    """The page of `GET /`."""
    found = {name: sorted(late) for name, late in late_ms.items()}
    late_ms.clear()
    late = sorted(one for some in found.values() for one in some)
    return msgspec.json.encode(
        Figures(
            requests=requests,
            repeated=requests - len(seen),
            p50_ms=share(late, 0.5),
            p99_ms=share(late, 0.99),
            by_trigger={
                name: Late(count=len(some), p50_ms=share(some, 0.5), p99_ms=share(some, 0.99))
                for name, some in found.items()
            },
        )
    )


def count() -> bytes:
    """The page of `GET /urgent`: how many such came since the figures were asked for."""
    return str(len(late_ms["urgent"])).encode()


class Sink(asyncio.Protocol):
    """One connection of HTTP/1.1, as much of it as a benchmark needs."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        # uvloop's own is no subclass.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            if head.startswith(b"get "):
                page = count() if head.startswith(b"get /urgent ") else figures()
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page)
                )
                self._buffer = self._buffer[end + 4 :]
                continue
            at = head.index(b"content-length:") + 15
            length = int(head[at:].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._take(self._buffer[end + 4 : end + 4 + length])
            self._buffer = self._buffer[end + 4 + length :]
            if answer_after:
                asyncio.get_running_loop().call_later(answer_after, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)

    def _take(self, body: bytes) -> None:
        global requests
        data = decode(body).data
        requests += 1
        seen.add(data.send_id)
        late_ms[data.trigger].append(time.time() * 1000 - data.decided_at / 1000)


async def main() -> None:
    """Serve until ended."""
    global answer_after
    answer_after = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
