"""A template, published over HTTP, as it reaches people: with what is known of them, or without."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.cli import drain
from services.cli.stack import Stack, StackSettings
from services.client import ApiError, Client
from services.runtime.process import free_port

PARTITIONS = 2
SECONDS_MAX = 60.0
POLL_SECONDS = 0.05

DEFINITIONS: list[dict[str, Any]] = [
    {"kind": "tag", "id": "orders", "aggregate": "count", "events": ["Order Completed"]},
    {
        "kind": "template",
        "id": "thanks",
        "content": {
            "subject": "Thank you, {{ first_name }}",
            "body": "{{ order_id }} is packed, your number {{ tags.orders }}.",
            "html": "<p>{{ first_name }}</p>",
        },
        "variables": {
            "first_name": {"trait": "first_name", "fallback": "friend"},
            "order_id": {"property": "order_id"},
        },
    },
    {
        "kind": "trigger",
        "id": "thank_you",
        "category": "transactional",
        "entry": {"events": ["Order Completed"]},
        "steps": [
            {"send": {"channel": "mail", "template": "thanks"}},
            {"send": {"channel": "log", "template": "thanks"}},
        ],
    },
]


class Postbox:
    """What the mail server was given, by address."""

    def __init__(self) -> None:
        self.mails: dict[str, str] = {}

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        """See aiosmtpd."""
        self.mails[envelope.rcpt_tos[0]] = bytes(envelope.content or b"").decode()
        return "250 kept"


class Shop:
    """A running stack, as the shop's backend and its marketers see it."""

    def __init__(self, stack: Stack, api: Client, log: Path) -> None:
        self.api = api
        self._stack = stack
        self._log = log
        self._sent = 0
        self._client = httpx.AsyncClient(trust_env=False, timeout=10)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def in_force(self, revision: int | None) -> None:
        """Wait for every partition."""
        assert revision is not None
        urls = self._stack.triggers_urls
        await drain.until(lambda: drain.in_force(self._client, urls, revision, PARTITIONS))

    async def call(self, kind: str, person: str, **message: Any) -> None:
        """One call of Segment's API."""
        self._sent += 1
        answer = await self._client.post(
            f"{self._stack.ingest_url}/v1/{kind}",
            json={"messageId": f"m{self._sent}", "userId": person, **message},
            auth=(self._stack.write_key, ""),
        )
        assert answer.is_success, answer.text

    async def ordered(self, person: str, order: str, **traits: str) -> None:
        """Somebody with this address orders something."""
        await self.call("identify", person, traits={"email": f"{person}@shop.example", **traits})
        await self.call("track", person, event="Order Completed", properties={"order_id": order})

    def logged(self, person: str) -> list[dict[str, Any]]:
        """What the log channel was told to send to a person."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [one for one in map(json.loads, lines) if one["person"] == person]

    async def logged_to(self, person: str, count: int = 1) -> dict[str, Any]:
        """The last of so many sends to a person, once they are there."""
        async with asyncio.timeout(SECONDS_MAX):
            while len(self.logged(person)) < count:  # noqa: ASYNC110  (other processes)
                await asyncio.sleep(POLL_SECONDS)
        return self.logged(person)[-1]


@pytest.mark.embedded
@pytest.mark.xdist_group("stack")
@pytest.mark.timeout(240)
async def test_a_template_published_over_http_is_sent_with_the_person_in_it_or_its_fallback(
    tmp_path: Path,
) -> None:
    postbox, log = Postbox(), tmp_path / "sends.jsonl"
    port = free_port()
    server = Controller(postbox, hostname="127.0.0.1", port=port)
    server.start()
    settings = StackSettings(
        data_dir=tmp_path / "data",
        partitions=PARTITIONS,
        free_ports=True,
        durable=False,
        environment={
            "CUESTREAM_DISPATCHER_LOG_FILE": str(log),
            "CUESTREAM_DISPATCHER_MAIL_HOST": "127.0.0.1",
            "CUESTREAM_DISPATCHER_MAIL_PORT": str(port),
            "CUESTREAM_DISPATCHER_MAIL_TLS": "none",
            "CUESTREAM_DISPATCHER_MAIL_FROM": "shop@shop.example",
        },
    )
    try:
        async with (
            Stack(settings) as stack,
            Client(stack.api_url, stack.api_token) as api,
        ):
            shop = Shop(stack, api, log)
            try:
                await _story(shop, postbox)
            finally:
                await shop.close()
    finally:
        server.stop()


async def _story(shop: Shop, postbox: Postbox) -> None:
    applied = await shop.api.apply({"definitions": DEFINITIONS})
    await shop.in_force(applied.body.revision)
    await shop.ordered("ann", "o-1", first_name="Ann & Co")
    await shop.ordered("bob", "o-2")
    ann, bob = await shop.logged_to("ann"), await shop.logged_to("bob")
    assert (ann["subject"], ann["body"]) == ("Thank you, Ann & Co", "o-1 is packed, your number 1.")
    assert ann["html"] == "<p>Ann &amp; Co</p>"
    assert bob["subject"] == "Thank you, friend"
    # Lanes of their own carry the two: the mail may come after the line.
    async with asyncio.timeout(SECONDS_MAX):
        while len(postbox.mails) < 2:  # noqa: ASYNC110  (other processes)
            await asyncio.sleep(POLL_SECONDS)
    assert "Subject: Thank you, friend" in postbox.mails["bob@shop.example"]
    assert "o-2 is packed, your number 1." in postbox.mails["bob@shop.example"]

    shown = await _preview(shop, "bob")
    assert (shown.subject, shown.fallbacks) == ("Thank you, friend", ("first_name",))
    assert shown.body == "o-9 is packed, your number 1."

    with pytest.raises(ApiError) as refused:
        await shop.api.patch_template(
            "thanks", {"content": {"body": "{{ city }}"}}, if_match="*", publish=True
        )
    assert refused.value.errors[0].place == "templates.thanks.content.body"
    corrected = await shop.api.patch_template(
        "thanks", {"content": {"subject": "Many thanks"}}, if_match="*", publish=True
    )
    await shop.in_force(corrected.body.revision)
    await shop.call("track", "bob", event="Order Completed", properties={"order_id": "o-3"})
    again = await shop.logged_to("bob", 2)
    assert (again["subject"], again["body"]) == ("Many thanks", "o-3 is packed, your number 2.")


async def _preview(shop: Shop, person: str) -> Any:
    """The template on a profile of the store, once that has it."""
    asked = {"person": person, "event": {"order_id": "o-9"}}
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                shown = (await shop.api.preview_template("thanks", asked)).body
            except ApiError as error:
                if error.status != httpx.codes.NOT_FOUND:
                    raise
            else:
                if shown.body == "o-9 is packed, your number 1.":
                    return shown
            await asyncio.sleep(POLL_SECONDS)
