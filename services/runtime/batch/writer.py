"""Many records to one partition: built into batches here, one request for up to a megabyte."""

import asyncio
from collections.abc import Collection
from typing import Any, Final

from services.contracts.topics import RECORD_BYTES_MAX

RECORD_OVERHEAD_BYTES_MAX: Final = 8_192
"""Room for a record's key, its headers and the frame of its batch."""
VALUE_BYTES_MAX: Final = RECORD_BYTES_MAX - RECORD_OVERHEAD_BYTES_MAX
"""Callers never write a larger value: it would be refused again after every restart."""

Headers = tuple[tuple[str, bytes], ...]
Headed = tuple[bytes | None, bytes, Headers]
"""Key, value and headers of one record."""


class BatchWriter:
    """Appends to partitions through one aiokafka producer (see `runtime.kafka.make_producer`)."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    async def write(
        self,
        topic: str,
        partition: int,
        records: Collection[tuple[bytes | None, bytes]],
        headers: Headers = (),
    ) -> int | None:
        """Append (key, value) pairs in order; returns when all replicas have them.

        Gives the offset of the last record, None where there was none or the broker did not
        say. Two calls for one partition have to be made one after the other.

        Raises:
            KafkaError: not acknowledged in the producer's time; part of it may be written.
            ValueError: a value is larger than `VALUE_BYTES_MAX`.
        """
        if not records:
            return None
        acknowledgements: list[asyncio.Future[Any]] = []
        builder = self._producer.create_batch()
        try:
            for key, value in records:
                if len(value) > VALUE_BYTES_MAX:
                    raise ValueError(f"a record of {len(value)} bytes for {topic}")
                if not _append(builder, key, value, headers):
                    acknowledgements.append(await self._send(builder, topic, partition))
                    builder = self._producer.create_batch()
                    _append(builder, key, value, headers)
            count = builder.record_count()
            acknowledgements.append(await self._send(builder, topic, partition))
        finally:
            # Every future is awaited, so that a failure of one leaves no unread exception.
            results = await asyncio.gather(*acknowledgements, return_exceptions=True)
        base: int | None = None
        for result in results:
            if isinstance(result, BaseException):
                raise result
            base = result.offset
        return None if base is None or base < 0 else base + count - 1

    async def write_in_turn(self, topic: str, partition: int, records: Collection[Headed]) -> None:
        """Append records in order, each request only when the one before is acknowledged.

        So what stands in the partition is at any time the beginning of them, repeats aside:
        `write` can leave a gap where a request is given up and the next one arrives. Calls
        for one partition may overlap; of each one's records the order holds.

        Raises:
            KafkaError: not acknowledged in the producer's time; part of it may be written.
            ValueError: a value is larger than `VALUE_BYTES_MAX`.
        """
        builder = self._producer.create_batch()
        for key, value, headers in records:
            if len(value) > VALUE_BYTES_MAX:
                raise ValueError(f"a record of {len(value)} bytes for {topic}")
            if not _append(builder, key, value, headers):
                await (await self._send(builder, topic, partition))
                builder = self._producer.create_batch()
                _append(builder, key, value, headers)
        if builder.record_count():
            await (await self._send(builder, topic, partition))

    async def _send(self, builder: Any, topic: str, partition: int) -> "asyncio.Future[Any]":
        sent: asyncio.Future[Any] = await self._producer.send_batch(
            builder, topic, partition=partition
        )
        return sent


def _append(builder: Any, key: bytes | None, value: bytes, headers: Headers) -> bool:
    return builder.append(timestamp=None, key=key, value=value, headers=list(headers)) is not None
