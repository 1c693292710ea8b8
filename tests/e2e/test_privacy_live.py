"""What is known of a person: cleaned, told by source, given out whole, and forgotten everywhere."""

import asyncio
import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli import drain
from services.cli.stack import Stack, StackSettings
from services.client import Client

PARTITIONS = 2
SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
PHONE, MAIL = "+8613800138000", "ann@shop.example"

DEFINITIONS: list[dict[str, Any]] = [
    {
        "kind": "workspace",
        "id": "default",
        "cleaning": [
            {"id": "amount", "events": ["Order Completed"], "property": "amount", "min": 0}
        ],
    },
    {"kind": "tag", "id": "orders", "aggregate": "count", "events": ["Order Completed"]},
    {
        "kind": "trigger",
        "id": "thank_you",
        "entry": {"events": ["Order Completed"]},
        "steps": [
            {"send": {"channel": "log", "content": {"body": "Thanks"}}},
            {"wait": {"for": "30d"}},
            {"send": {"channel": "log", "content": {"body": "Again"}}},
        ],
    },
]


class Shop:
    """A running stack, its backend, and somebody at a terminal."""

    def __init__(self, stack: Stack, environment: dict[str, str]) -> None:
        self._stack = stack
        self._environment = environment
        self._sent = 0
        headers = {"Authorization": f"Bearer {stack.api_token}"}
        self.client = httpx.AsyncClient(trust_env=False, timeout=10, headers=headers)

    async def call(self, kind: str, **message: Any) -> None:
        """One call of Segment's API."""
        self._sent += 1
        answer = await self.client.post(
            f"{self._stack.ingest_url}/v1/{kind}",
            json={"messageId": f"m{self._sent}"} | message,
            auth=(self._stack.write_key, ""),
        )
        assert answer.is_success, answer.text

    async def profile(self, person: str, query: str = "") -> Any:
        """The profile as the store answers, None where there is none."""
        url = f"{self._stack.profile_store_url}/v1/profiles/{person}{query}"
        answer = await self.client.get(url)
        return answer.json() if answer.is_success else None

    async def until(self, what: Any, told: str) -> Any:
        """What `what` gives once it gives something."""
        async with asyncio.timeout(SECONDS_MAX):
            while not (found := await what()):  # noqa: ASYNC110  (other processes)
                await asyncio.sleep(POLL_SECONDS)
        assert found, told
        return found

    def cuestream(self, *arguments: str) -> Any:
        """A command at the terminal, whose output is JSON."""
        return json.loads(self.run(*arguments))

    def run(self, *arguments: str) -> str:
        """A command at the terminal; what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", "from services.cli.main import app; app()", *arguments],
            env={**os.environ, **self._environment},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


@pytest.mark.embedded
@pytest.mark.xdist_group("stack")
@pytest.mark.timeout(240)
async def test_a_person_is_given_out_whole_and_forgotten_everywhere(tmp_path: Path) -> None:
    keys = {"CUESTREAM_SENSITIVE_KEYS": f"k1:{b64encode(os.urandom(32)).decode()}"}
    settings = StackSettings(
        data_dir=tmp_path / "data",
        partitions=PARTITIONS,
        free_ports=True,
        durable=False,
        environment=keys,
    )
    async with Stack(settings) as stack, Client(stack.api_url, stack.api_token) as api:
        shop = Shop(stack, {**stack.environment, **keys})
        try:
            applied = await api.apply({"definitions": DEFINITIONS})
            revision = applied.body.revision
            assert revision is not None
            await drain.until(
                lambda: drain.in_force(shop.client, stack.triggers_urls, revision, PARTITIONS)
            )
            await _story(shop, stack)
        finally:
            await shop.client.aclose()


async def _story(shop: Shop, stack: Stack) -> None:
    traits = {"phone": PHONE, "email": MAIL, "consent": {"marketing": True}}
    await shop.call("track", anonymousId="visitor", event="Page Seen")
    await shop.call("identify", userId="ann", anonymousId="visitor", traits=traits)
    await shop.call("track", userId="ann", event="Order Completed", properties={"order_id": "1"})
    wrong = {"userId": "bob", "event": "Order Completed", "properties": {"amount": -100}}
    for _ in range(2):
        await shop.call("track", **wrong, messageId="twice", context={"source": "till"})

    async def all_there() -> bool:
        ann, visitor = await shop.profile("ann"), await shop.profile("visitor")
        return bool(ann and visitor and ann["messages_accepted"] == 1 and ann == visitor)

    await shop.until(all_there, "ann's profile")
    shown = await shop.profile("ann")
    assert shown["traits"]["phone"] == "***8000"
    assert shown["consents"]["marketing"]["answer"] is True

    async def reported() -> Any:
        answer = await shop.client.get(f"{stack.profile_store_url}/v1/data-quality?source=till")
        sources = answer.json()["sources"]
        return sources if sources and sources[0]["findings"] == 2 else None

    (till,) = await shop.until(reported, "what cleaning found")
    assert {(one["rule"], one["fault"]) for one in till["faults"]} == {
        ("amount", "quarantined"),
        ("", "duplicate"),
    }
    known = await asyncio.to_thread(shop.cuestream, "privacy", "export", "visitor")
    assert set(known["ids"]) == {"ann", "visitor"}
    assert known["state"]["traits"]["phone"] == PHONE
    (row,) = [one for one in known["tables"]["profile_store.profiles"] if one["person"] == "ann"]
    assert row["traits"]["email"] == MAIL
    assert len(known["tables"]["dispatcher.sends"]) == 1
    assert [one["name"] for one in known["topics"]["events"]].count("Order Completed") == 1
    assert {one["outcome"] for one in known["topics"]["decisions"]} >= {"sent"}

    receipt = await asyncio.to_thread(shop.cuestream, "privacy", "erase", "ann", "--yes")
    assert receipt["complete"] is True
    assert receipt["ids"] == 2
    assert sum(one["deleted"]["profiles"] for one in receipt["stores"]["profile_store"]) == 2
    assert [one["deleted"] for one in receipt["stores"]["triggers"]] == [
        {"backtest_samples": 0}
    ] * 2
    assert receipt["topics"]["events"].startswith("gone with their records by ")
    assert await shop.profile("ann") is None
    assert await shop.profile("visitor") is None
    assert await shop.profile("bob") is not None
    left = await asyncio.to_thread(shop.cuestream, "privacy", "export", "ann")
    assert "state" not in left
    kept = {name for name, rows in left["tables"].items() if rows}
    assert kept <= {"profile_store.erasures", "dispatcher.erasures"}

    # Who comes back is somebody new.
    await shop.call("track", userId="ann", event="Order Completed", properties={"order_id": "3"})
    anew = await shop.until(lambda: shop.profile("ann"), "ann, new")
    assert (anew["tags"]["orders"], anew["traits"]) == (1, {})
