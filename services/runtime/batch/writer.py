"""Many records to one partition: built into batches here, one request for up to a megabyte."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Final

from services.contracts.topics import RECORD_BYTES_MAX

RECORD_OVERHEAD_BYTES_MAX: Final = 8_192
"""Room for a record's key, its headers and the frame of its batch."""
VALUE_BYTES_MAX: Final = RECORD_BYTES_MAX - RECORD_OVERHEAD_BYTES_MAX
"""Callers never write a larger value: it would be refused again after every restart."""

Headers = tuple[tuple[str, bytes], ...]
Headed = tuple[bytes | None, bytes | None, Headers]
"""Key, value and headers of one record; no value takes away what stands under the key."""


class BatchWriter:
    """Appends to partitions through one aiokafka producer (see `runtime.kafka.make_producer`)."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    async def write(
        self,
        topic: str,
        partition: int,
        records: Collection[tuple[bytes | None, bytes | None]],
        headers: Headers = (),
    ) -> int | None:
        """Append (key, value) pairs in order; returns when all replicas have them.

        Gives the offset of the last record, None where there was none or the broker did not
        say. Each request goes out when the one before is acknowledged, so what stands in the
        partition is at any time the beginning of the records, repeats aside. Calls for one
        partition may overlap: of each one's records that holds.

        Raises:
            KafkaError: not acknowledged in the producer's time; part of it may be written.
            ValueError: a value is larger than `VALUE_BYTES_MAX`.
        """
        return await self._write(topic, partition, ((*record, headers) for record in records))

    async def write_headed(
        self, topic: str, partition: int, records: Collection[Headed]
    ) -> int | None:
        """`write` of records with headers of their own."""
        return await self._write(topic, partition, records)

    async def _write(self, topic: str, partition: int, records: Iterable[Headed]) -> int | None:
        under_way: asyncio.Future[Any] | None = None
        builder = self._producer.create_batch(topic)
        for key, value, headers in records:
            if value is not None and len(value) > VALUE_BYTES_MAX:
                raise ValueError(f"a record of {len(value)} bytes for {topic}")
            if not _append(builder, key, value, headers):
                if under_way is not None:
                    await under_way
                under_way = await self._send(builder, topic, partition)
                builder = self._producer.create_batch(topic)
                _append(builder, key, value, headers)
        if under_way is not None:
            await under_way
        count = builder.record_count()
        if not count:
            return None
        base = (await (await self._send(builder, topic, partition))).offset
        return None if base is None or base < 0 else base + count - 1

    async def _send(self, builder: Any, topic: str, partition: int) -> "asyncio.Future[Any]":
        sent: asyncio.Future[Any] = await self._producer.send_batch(
            builder, topic, partition=partition
        )
        return sent


def _append(builder: Any, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
    return builder.append(timestamp=None, key=key, value=value, headers=list(headers)) is not None
