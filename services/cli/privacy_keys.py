"""Sealing again with a new key: PostgreSQL here and now, Kafka through the workers."""

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.control import Marker
from services.contracts.errors import CuestreamError
from services.contracts.topics import PROFILES, Topic
from services.dispatcher.resealing import reseal as reseal_sends
from services.profile_store.resealing import reseal as reseal_profiles
from services.profile_store.settings import ProfileStoreSettings, sensitive_of
from services.runtime.clock import WallClock
from services.runtime.sealing import SETTING, Keyring, Resealed
from services.runtime.topic_reading import read_topic
from services.triggers.definitions.kafka import KafkaAnnouncer
from services.triggers.trial.from_topics import CHANGELOG, READ_SECONDS_MAX

POLL_SECONDS = 2.0


async def reseal_stored(settings: ProfileStoreSettings, engine: AsyncEngine) -> dict[str, Resealed]:
    """Seal again what is in PostgreSQL; by what it is.

    Raises:
        CuestreamError: there is no key to seal with.
        Transient: the database is away.
    """
    sensitive = sensitive_of(settings)
    if not sensitive.keys.sealing:
        raise CuestreamError(f"there is no key to seal with: set {SETTING}")
    return {
        "profiles": await reseal_profiles(engine, sensitive),
        "commands, messages and tasks": await reseal_sends(engine, sensitive.keys),
    }


async def reseal_states(settings: ProfileStoreSettings, *, wait_seconds: float) -> int:
    """Have the workers write everyone's state again; how many lie under another key at the end.

    Everyone is woken once, spread over a minute, as by rules that concern everyone.

    Raises:
        Transient: the broker is away.
    """
    announcer = KafkaAnnouncer(settings)
    try:
        await announcer.open()
        marker = Marker(revision=0, at=WallClock().stamp(None), everyone=True)
        await announcer.write_marker(marker)
    finally:
        await announcer.close()
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_seconds
    while True:
        left = await under_another_key(settings, CHANGELOG)
        if not left or loop.time() >= until:
            return left
        await asyncio.sleep(POLL_SECONDS)


async def under_another_key(settings: ProfileStoreSettings, topic: Topic = PROFILES) -> int:
    """Of how many keys of a compacted topic the newest record is not sealed with the first key.

    Raises:
        Transient: the broker is away.
    """
    keys: Keyring = settings.keyring()
    old: set[Any] = set()
    async for record in read_topic(settings, topic, timeout_seconds=READ_SECONDS_MAX, opened=False):
        if record.value is not None and keys.is_old_frame(record.value):
            old.add(record.key)
        else:
            old.discard(record.key)
    return len(old)
