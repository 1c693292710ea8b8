"""The kill switch over HTTP: at once, by one person, written down, and by no other way."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.contracts.definitions import Workspace
from services.triggers.definitions.auditing import Wanted
from services.triggers.definitions.service import Definitions
from tests.api.around import Surroundings
from tests.api.conftest import client_of


@pytest.fixture
async def client(scene: Surroundings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(scene.app) as made:
        yield made


async def stopped(client: httpx.AsyncClient) -> tuple[bool, list[str]]:
    answer = (await client.get("/v1/stops")).json()
    return answer["all"], answer["channels"]


async def test_everything_stops_and_goes_on(
    client: httpx.AsyncClient, definitions: Definitions
) -> None:
    before = (await client.get("/v1/stops")).json()["revision"]
    answer = await client.post("/v1/stop", json={"all": True, "note": "wrong prices"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["all"], answer.json()["revision"]) == (True, before + 1)
    assert (await client.post("/v1/resume", json={"all": True})).json()["all"] is False
    entries = await definitions.entries(Wanted(kind="workspace"), below=None, limit=2)
    assert [(one.action, one.note) for one in entries] == [
        ("went_on", ""), ("stopped", "wrong prices"),
    ]  # fmt: skip


async def test_channels_stop_one_by_one_and_everything_beside_them(
    client: httpx.AsyncClient,
) -> None:
    await client.post("/v1/stop", json={"channels": ["mail"]})
    await client.post("/v1/stop", json={"channels": ["sms", "mail"]})
    await client.post("/v1/stop", json={"all": True})
    assert await stopped(client) == (True, ["mail", "sms"])
    await client.post("/v1/resume", json={"channels": ["mail", "push"]})
    assert await stopped(client) == (True, ["sms"])
    await client.post("/v1/resume", json={"all": True})
    assert await stopped(client) == (False, ["sms"])


async def test_a_stop_that_holds_already_publishes_nothing(client: httpx.AsyncClient) -> None:
    first = (await client.post("/v1/stop", json={"all": True})).json()
    assert (await client.post("/v1/stop", json={"all": True})).json() == first


@pytest.mark.parametrize(
    "body", [{}, {"all": True, "channels": ["mail"]}, {"channels": ["pigeon"]}, {"everything": 1}]
)
async def test_what_to_stop_has_to_be_said(client: httpx.AsyncClient, body: object) -> None:
    assert (await client.post("/v1/stop", json=body)).status_code == 422


async def test_no_edit_file_or_older_version_takes_a_stop_away(client: httpx.AsyncClient) -> None:
    any_ = {"If-Match": "*"}
    await client.patch("/v1/workspace", json={"name": "Draft"}, headers=any_)
    await client.post("/v1/stop", json={"channels": ["mail"]})
    draft = (await client.get("/v1/workspace")).json()["draft"]
    assert draft["name"] == "Draft", "a stop leaves unfinished work alone"
    ways: list[tuple[str, Any]] = [
        ("/v1/workspace/publish", None),
        ("/v1/apply", {"definitions": [{"kind": "workspace", "id": "default", "name": "File"}]}),
        ("/v1/workspace/rollback", {"version": 1}),
    ]
    for path, body in ways:
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert await stopped(client) == (False, ["mail"]), path
    body = {"id": "default", "stopped_channels": [], "stopped": True}
    await client.put("/v1/workspace?publish=true", json=body, headers=any_)
    assert await stopped(client) == (False, ["mail"]), "there is one way to stop, too"


async def test_the_workspace_stays_as_it_is_but_for_the_stop(
    client: httpx.AsyncClient, definitions: Definitions
) -> None:
    body = {"id": "default", "name": "Shop", "time_zone": "Asia/Shanghai", "test_people": ["ana"]}
    await client.put("/v1/workspace?publish=true", json=body, headers={"If-Match": "*"})
    await client.post("/v1/stop", json={"all": True})
    published = (await definitions.get("workspace", "default")).published
    assert isinstance(published, Workspace)
    assert (published.name, published.time_zone) == ("Shop", "Asia/Shanghai")
    assert (published.test_people, published.stopped) == (("ana",), True)
