"""The other end of the webhook benchmark: accepts everything, and says how late it came.

`python -m tests.benchmarks.sink`: prints its port, then serves until it is ended. `GET /` gives
the figures as JSON: requests, repeated ids, and how long after `decided_at` each came.
"""

import asyncio
import time
from typing import cast

import msgspec
import uvloop

from tests.benchmarks.harness import percentile

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Data(msgspec.Struct, gc=False):
    """What matters of a webhook's data."""

    send_id: str
    decided_at: int


class Payload(msgspec.Struct, gc=False):
    """A webhook."""

    data: Data


class Figures(msgspec.Struct):
    """What came so far; `p50_ms` and `p99_ms` are of what came since they were asked for last."""

    requests: int
    repeated: int
    p50_ms: float
    p99_ms: float


decode = msgspec.json.Decoder(Payload).decode
seen: set[str] = set()
late_ms: list[float] = []
requests = 0


def figures() -> bytes:
    """The page of `GET /`."""
    late = sorted(late_ms) or [0.0]
    late_ms.clear()
    return msgspec.json.encode(
        Figures(
            requests=requests,
            repeated=requests - len(seen),
            p50_ms=percentile(late, 0.5),
            p99_ms=percentile(late, 0.99),
        )
    )


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
                page = figures()
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
            self._transport.write(ANSWER)

    def _take(self, body: bytes) -> None:
        global requests
        data = decode(body).data
        requests += 1
        seen.add(data.send_id)
        late_ms.append(time.time() * 1000 - data.decided_at / 1000)


async def main() -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
