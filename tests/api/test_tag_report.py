"""The report of tags over HTTP: what is in force, and what the profile store noticed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.contracts.errors import Transient
from services.contracts.time import DAY, from_micros
from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.tag_report import (
    Changes,
    StoreNotices,
    TagChange,
    tag_report_routes,
)
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.texts import check_whole
from tests.api.conftest import client_of, make_api
from tests.definitions.support import START

LATER = START + 100 * DAY
TAGS: list[dict[str, Any]] = [
    {"id": "orders", "aggregate": "count", "events": ["Order Completed"]},
    {"id": "level", "layer": "behaviour", "owner": "crm", "review_by": "2020-01-01",
     "derive": {"bands": {"of": "orders", "bands": [{"label": "some", "from": 1}]}}},
    {"id": "used", "aggregate": "count", "events": ["Signed In"]},
]  # fmt: skip
TRIGGER = {
    "id": "t",
    "status": "live",
    "entry": {"events": ["a"]},
    "audience": {"tag": "used", "op": "gte", "value": 1},
    "steps": [{"send": {"channel": "log"}}],
}


class Noticed:
    """What the profile store says; it may be away."""

    def __init__(self) -> None:
        self.found: Changes | None = None

    async def changes(self) -> Changes:
        """See the port."""
        if self.found is None:
            raise Transient("away")
        return self.found


@pytest.fixture
def noticed() -> Noticed:
    """Away at first."""
    return Noticed()


@pytest.fixture
async def api(noticed: Noticed) -> AsyncIterator[httpx.AsyncClient]:
    """The API a hundred days after three tags and a trigger came in force."""
    definitions = Definitions(
        MemoryStore(Tables()), check_whole, workspace="default", now=lambda: START
    )
    await definitions.bootstrap()
    app = make_api(
        definitions, more_routers=[tag_report_routes(definitions, noticed, lambda: LATER)]
    )
    async with client_of(app) as client:
        body = {"definitions": [{"kind": "tag", **one} for one in TAGS]}
        body["definitions"].append({"kind": "trigger", **TRIGGER})
        made = await client.post("/v1/apply", json=body)
        assert made.status_code == 200, made.text
        yield client


async def report(api: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    told = await api.get("/v1/tags/report", params=query)
    assert told.status_code == 200, told.text
    found: dict[str, Any] = told.json()
    return found


async def test_what_nobody_uses_is_told_even_while_the_profile_store_is_away(
    api: httpx.AsyncClient,
) -> None:
    told = await report(api)
    assert (told["tags_in_force"], told["watched_since"]) == (3, None)
    assert told["tags"] == [
        {
            "id": "level", "name": "unnamed", "layer": "behaviour", "owner": "crm", "used_by": [],
            "unused": True, "stale": ["review_due"], "review_by": "2020-01-01",
            "changed_at": None,
        },
        {
            "id": "orders", "name": "unnamed", "layer": None, "owner": "",
            "used_by": ["tags.level.derive.bands.of"], "unused": True, "stale": [],
            "review_by": None, "changed_at": None,
        },
    ]  # fmt: skip


async def test_what_did_not_change_for_long_is_told_by_what_the_store_noticed(
    api: httpx.AsyncClient, noticed: Noticed
) -> None:
    since = from_micros(START - DAY)
    changed = (("orders", 95), ("used", 20))
    noticed.found = Changes(
        watched_since=since,
        tags=tuple(TagChange(id=id_, changed_at=since + timedelta(days=n)) for id_, n in changed),
    )
    stale = {one["id"]: one["stale"] for one in (await report(api))["tags"]}
    assert stale == {"level": ["review_due", "no_change"], "orders": []}
    told = await report(api, days=60, all=True)
    assert {one["id"]: one["stale"] for one in told["tags"]} == {
        "level": ["review_due", "no_change"], "orders": [], "used": ["no_change"],
    }  # fmt: skip
    changed_at = datetime.fromisoformat(told["tags"][1]["changed_at"])
    assert changed_at == since + timedelta(days=95)


async def test_a_number_of_days_that_is_none_is_refused(api: httpx.AsyncClient) -> None:
    for days in (0, 3_651, "many"):
        assert (await api.get("/v1/tags/report", params={"days": days})).status_code == 422


async def test_the_store_is_asked_over_http() -> None:
    answers = [
        httpx.Response(200, json={"watched_since": "2026-01-01T00:00:00.000000Z", "tags": [
            {"id": "a", "changed_at": "2026-01-02T00:00:00.000000Z"}]}),
        httpx.Response(404), httpx.Response(503),
    ]  # fmt: skip
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return answers.pop(0)

    store = ProfileStore("http://store", "sesame", transport=httpx.MockTransport(answer))
    found = await StoreNotices(store).changes()
    assert found.watched_since == datetime(2026, 1, 1, tzinfo=UTC)
    assert [one.id for one in found.tags] == ["a"]
    for _ in range(2):
        with pytest.raises(Transient):
            await StoreNotices(store).changes()
    assert asked == ["/v1/tags/changes"] * 3
    await store.close()
