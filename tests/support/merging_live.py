"""The whole stack, and somebody who was anonymous: what is capped, kept and shown of them.

The same for the embedded broker and a real Kafka.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.cli import drain
from services.cli.definitions import apply
from services.cli.stack import Stack, StackSettings
from services.contracts.decision import Decision, Outcome
from services.contracts.topics import COMMANDS, DECISIONS, URGENT_COMMANDS
from services.runtime.kafka import partition_of
from services.runtime.topic_reading import read_topic

PARTITIONS = 4
SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "tag", "id": "views", "aggregate": "count", "events": ["Viewed"]},
    {
        "kind": "trigger",
        "id": "hello",
        "entry": {"events": ["Viewed"]},
        "steps": [{"send": {"channel": "log", "content": {"body": "Hello"}}}],
    },
    {"kind": "policy", "id": "one_a_day", "limit": 1, "window": "24h"},
]


class Story:
    """Talks to a running stack as clients do."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._sent = 0
        self._client = httpx.AsyncClient(trust_env=False, timeout=10)
        self.visitor, self.user = _apart()

    async def close(self) -> None:
        await self._client.aclose()

    async def put_in_force(self) -> None:
        """Publish the definitions, and wait for every partition."""
        stack = self._stack
        applied = await apply(stack.api_url, stack.api_token, DEFINITIONS)
        revision = applied.revision
        assert revision is not None
        await drain.until(
            lambda: drain.in_force(self._client, stack.triggers_urls, revision, PARTITIONS)
        )

    async def call(self, kind: str, **message: Any) -> None:
        """One call of Segment's API."""
        self._sent += 1
        answer = await self._client.post(
            f"{self._stack.ingest_url}/v1/{kind}",
            json={"messageId": f"m{self._sent}", **message},
            auth=(self._stack.write_key, ""),
        )
        assert answer.is_success, answer.text

    async def viewed(self, **who: str) -> None:
        """Somebody looks at something."""
        await self.call("track", event="Viewed", **who)

    async def decided(self, count: int) -> list[Decision]:
        """All decisions, once there are so many."""
        found: list[Decision] = []

        async def enough() -> bool:
            found[:] = [
                msgspec.json.decode(record.value, type=Decision)
                async for record in read_topic(
                    self._stack.kafka_settings, DECISIONS, timeout_seconds=SECONDS_MAX
                )
            ]
            return len(found) >= count

        await _until(enough)
        return found

    async def profile(self, id_: str, shows: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The profile behind an id, once it shows that."""
        found: dict[str, Any] = {}

        async def shown() -> bool:
            answer = await self._client.get(
                f"{self._stack.profile_store_url}/v1/profiles/{id_}",
                headers={"Authorization": f"Bearer {self._stack.api_token}"},
            )
            found.clear()
            if answer.is_success:
                found.update(answer.json())
            return bool(found) and shows(found)

        await _until(shown)
        return found

    async def commands(self) -> list[dict[str, Any]]:
        """All commands that there are."""
        return [
            msgspec.json.decode(record.value)
            for topic in (COMMANDS, URGENT_COMMANDS)
            async for record in read_topic(
                self._stack.kafka_settings, topic, timeout_seconds=SECONDS_MAX
            )
            if not record.headers
        ]


def _apart() -> tuple[str, str]:
    """A visitor and a user whose logs are in different partitions."""
    visitor = "visitor-1"
    home = partition_of(visitor.encode(), PARTITIONS)
    users = (f"user-{number}" for number in range(100))
    return visitor, next(u for u in users if partition_of(u.encode(), PARTITIONS) != home)


async def _until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not await condition():  # noqa: ASYNC110  (other processes)
            await asyncio.sleep(POLL_SECONDS)


async def tell(kafka: str | None, prefix: str, folder: Path) -> None:
    """Play the story; fails where it does not go as it should. `kafka` None: embedded."""
    environment = {} if kafka is None else {"CUESTREAM_KAFKA_IDEMPOTENCE": "true"}
    settings = StackSettings(
        data_dir=folder,
        kafka=kafka,
        topic_prefix=prefix,
        partitions=PARTITIONS,
        free_ports=True,
        durable=False,
        environment=environment,
    )
    async with Stack(settings) as stack:
        story = Story(stack)
        try:
            await _told(story)
        finally:
            await story.close()


async def _told(story: Story) -> None:
    visitor, user = story.visitor, story.user
    await story.put_in_force()

    await story.viewed(anonymousId=visitor)
    (sent,) = await story.decided(1)
    assert (sent.person, sent.outcome) == (visitor, Outcome.SENT)

    await story.call("identify", userId=user, anonymousId=visitor, traits={"name": "Ada"})
    joined = await story.profile(visitor, lambda one: one["person"] == user)
    assert joined["traits"] == {"name": "Ada"}

    # What either of them was sent counts for both, under whichever id they come.
    await story.viewed(userId=user)
    await story.viewed(anonymousId=visitor)
    later = [one for one in await story.decided(3) if one.send_id != sent.send_id]
    assert [(one.person, one.outcome) for one in later] == [(user, Outcome.CAP)] * 2
    assert {one.details["count"] for one in later} == {1}

    whole = await story.profile(visitor, lambda one: one["tags"].get("views") == 3)
    assert whole["person"] == user
    assert [one["send_id"] for one in await story.commands()] == [sent.send_id]
    assert (await story.profile(user, lambda one: bool(one["messages_accepted"])))[
        "messages_accepted"
    ] == 1
