"""Ingest without a network: the application over an in-memory log."""

import base64
from typing import Any

import httpx
import msgspec

from services.contracts.codec import decode_pack
from services.contracts.deadletter import DeadLetter
from services.contracts.event import Event
from services.ingest.main import Ingest, bootstrap
from services.ingest.records import MemoryLog
from services.ingest.settings import IngestSettings
from services.runtime.metrics import Metrics

KEY = "local"
PARTITIONS = 4


class Server:
    """One application and the log it writes to."""

    def __init__(self, **settings: Any) -> None:
        self.log = MemoryLog(PARTITIONS)
        self.metrics = Metrics()
        self.settings = IngestSettings(**({"ingest_pack_wait_ms": 0} | settings))
        self.ingest: Ingest = bootstrap(self.settings, self.log, self.metrics)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.ingest.app),
            base_url="http://ingest",
            auth=(KEY, ""),
        )

    def forget(self) -> None:
        """Empty the log."""
        self.log.dead_letters.clear()
        for packs in self.log.packs:
            packs.clear()

    def events(self) -> list[Event]:
        """All events written, partition by partition, in the log's order."""
        return [event for packs in self.log.packs for pack in packs for event in decode_pack(pack)]

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters written, in order."""
        return [msgspec.json.decode(one, type=DeadLetter) for one in self.log.dead_letters]

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def send(self, messages: list[Any], path: str = "/v1/batch") -> httpx.Response:
        """Post a batch as JSON."""
        return await self.client.post(path, content=msgspec.json.encode({"batch": messages}))


def track(n: int = 1, **fields: Any) -> dict[str, Any]:
    """A track call of person n."""
    base = {"type": "track", "event": "Viewed", "userId": f"u-{n}", "messageId": f"m-{n}"}
    return base | fields


def basic(key: str) -> dict[str, str]:
    """The header that SDKs send."""
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
