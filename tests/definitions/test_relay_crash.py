"""The relay dies at each point of its work, on a real outbox and broker; its successor ends it."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import decode_marker
from services.contracts.control import Marker
from services.contracts.definitions import DefinitionRecord
from services.contracts.topics import DEFINITIONS, EVENTS
from services.runtime.kafka import create_topics
from services.runtime.settings import KafkaSettings
from services.triggers.definitions.announcing import Announcer
from services.triggers.definitions.kafka import KafkaAnnouncer
from services.triggers.definitions.postgres import PostgresStore
from services.triggers.definitions.postgres_outbox import PostgresOutbox
from services.triggers.definitions.relay import Relay
from tests.definitions.support import ROOT, make_definitions, tag, trigger
from tests.definitions.test_kafka import read


class Crash(Exception):
    """The process ends here."""


class CrashingAnnouncer(KafkaAnnouncer):
    """Ends the process at a named point of the work on one revision."""

    def __init__(self, settings: KafkaSettings, point: str, revision: int) -> None:
        super().__init__(settings)
        self._point = point
        self._revision = revision

    async def write_definitions(self, records: Sequence[DefinitionRecord]) -> None:
        here = records[-1].revision == self._revision
        if here and self._point == "before the definitions":
            raise Crash
        if here and self._point == "amid the definitions":
            await super().write_definitions(records[:1])
            raise Crash
        await super().write_definitions(records)

    async def write_marker(self, marker: Marker) -> None:
        here = marker.revision == self._revision
        if here and self._point == "before the marker":
            raise Crash
        await super().write_marker(marker)
        if here and self._point == "before it is marked done":
            raise Crash


def make_relay(engine: AsyncEngine, announcer: Announcer) -> Relay:
    return Relay(
        PostgresOutbox(engine),
        announcer,
        poll_seconds=0.01,
        random=lambda: 0.5,
        on_retry=lambda: None,
    )


@pytest.mark.parametrize(
    "point",
    [
        "before the definitions",
        "amid the definitions",
        "before the marker",
        "before it is marked done",
    ],
)
async def test_its_successor_announces_every_revision_whole_and_in_order(
    engine: AsyncEngine, kafka_settings: KafkaSettings, point: str
) -> None:
    await create_topics(kafka_settings, [EVENTS, DEFINITIONS])
    store = PostgresStore(engine)
    definitions = make_definitions(store)
    await definitions.bootstrap()
    await definitions.apply([tag(), trigger()], by=ROOT, dry_run=False)
    await definitions.set_status("cart_left", "paused", by=ROOT, expected=None)

    with pytest.raises(Crash):
        await make_relay(engine, CrashingAnnouncer(kafka_settings, point, 2)).run()
    successor = asyncio.create_task(make_relay(engine, KafkaAnnouncer(kafka_settings)).run())
    try:
        # The successor begins by announcing revision 1, which the first relay had carried.
        count = 5 if point == "before it is marked done" else 4
        for partition in range(kafka_settings.partitions):
            found = await read(kafka_settings, EVENTS, partition, count)
            revisions = [decode_marker(one.value).revision for one in found]
            # In force from its first marker on; later ones of that or an older one are ignored.
            assert list(dict.fromkeys(revisions)) == [1, 2, 3]
        assert (await definitions.revision()).pending == 0
    finally:
        successor.cancel()
        with pytest.raises(asyncio.CancelledError):
            await successor
    before = {"amid the definitions": 1, "before the marker": 4, "before it is marked done": 4}
    records = await read(kafka_settings, DEFINITIONS, 0, 6 + before.get(point, 0) + 7)
    assert [(one.key, decode(one.value).revision) for one in records[-7:]] == [
        (b"tag/orders", 2),
        (b"trigger/cart_left", 2),
        (b"version/cart_left@1", 2),
        (b"revision/head", 2),
        (b"trigger/cart_left", 3),
        (b"version/cart_left@2", 3),
        (b"revision/head", 3),
    ]


def decode(value: bytes) -> DefinitionRecord:
    return msgspec.json.decode(value, type=DefinitionRecord)
