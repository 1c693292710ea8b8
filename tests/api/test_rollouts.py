"""Rollouts over HTTP: begun by a reviewer, followed, ended."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.triggers.api.profiles_client import ProfileStore
from services.triggers.api.rollout_routes import counting
from services.triggers.backtest.jobs import Ended
from services.triggers.trial.rollout import Seen
from tests.api.around import Surroundings
from tests.api.conftest import client_of
from tests.api.test_backtests import REPORT
from tests.definitions.support import START
from tests.triggers.test_rollouts import rollout

TRIGGER: dict[str, Any] = {
    "id": "thanks",
    "entry": {"events": ["order"]},
    "steps": [{"send": {"channel": "log"}}],
}


@pytest.fixture
async def client(scene: Surroundings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(scene.app) as made:
        await made.post("/v1/triggers?publish=true", json=TRIGGER)
        yield made


async def test_it_begins_at_its_first_stage_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/triggers/thanks/rollout", json={})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["status"], found["percent"], found["version"]) == ("running", 1, 2)
    assert [one["percent"] for one in found["stages"]] == [1, 5, 100]
    assert (await client.get("/v1/triggers/thanks")).json()["published"]["rollout"] == 1
    assert (await client.get("/v1/triggers/thanks/rollout")).json() == found
    again = await client.post("/v1/triggers/thanks/rollout", json={})
    assert again.status_code == 409


async def test_it_is_measured_against_the_backtest(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    made = (await client.post("/v1/backtests", json={"triggers": ["thanks"]})).json()["id"]
    await scene.jobs.claim("me", START)
    await scene.jobs.end(made, "me", Ended(status="done", report=REPORT), START)
    found = (await client.post("/v1/triggers/thanks/rollout", json={"factor": 3})).json()
    assert (found["backtest"], found["expected_a_day"], found["factor"]) == (made, 10.0, 3.0)


async def test_it_can_be_left_where_it_is(client: httpx.AsyncClient) -> None:
    await client.post("/v1/triggers/thanks/rollout", json={"stages": [{"percent": 10}]})
    for _ in range(2):
        found = (await client.post("/v1/triggers/thanks/rollout/end")).json()
        assert (found["status"], found["percent"]) == ("ended", 10)
    assert [one["what"] for one in found["steps"]] == ["began", "ended"]
    assert (await client.get("/v1/triggers/thanks")).json()["published"]["rollout"] == 10
    assert (await client.post("/v1/triggers/thanks/rollout", json={})).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"stages": []}, 422),
        ({"stages": [{"percent": 5}, {"percent": 5}]}, 422),
        ({"stages": [{"percent": 101}]}, 422),
        ({"stages": [{"percent": 5, "hold": "soon"}]}, 422),
        ({"factor": 0.5}, 422),
        ({"backtest": "unknown"}, 404),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], status: int
) -> None:
    answer = await client.post("/v1/triggers/thanks/rollout", json=body)
    assert answer.status_code == status, answer.text
    assert "rollout" not in (await client.get("/v1/triggers/thanks")).json()["published"]


async def test_only_what_is_live_is_rolled_out(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/triggers/thanks/rollout")).status_code == 404
    await client.post("/v1/triggers/thanks/pause")
    assert (await client.post("/v1/triggers/thanks/rollout", json={})).status_code == 409
    assert (await client.post("/v1/triggers/no/rollout", json={})).status_code == 404


async def test_sends_are_counted_by_the_stages_version_and_failures_by_the_ledger() -> None:
    counts = [
        {"hour": "2026-03-01T12:00:00Z", "trigger": "t", "version": version, "outcome": outcome,
         "reason": "", "put_off": False, "decisions": decisions}
        for version, outcome, decisions in (
            (2, "sent", 5), (2, "sent", 6), (1, "sent", 100), (2, "cap", 100), (2, "offered", 1),
        )
    ]  # fmt: skip

    def store(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/decision-counts"
        return httpx.Response(200, json={"counts": counts, "more": False})

    def ledger(request: httpx.Request) -> httpx.Response:
        assert request.url.params["since"] == str(rollout().since)
        outcomes = {"accepted": 90, "delivered": 5, "failed": 3, "bounced": 2}
        return httpx.Response(200, json={"outcomes": outcomes})

    stores = [
        ProfileStore("http://x", "t", transport=httpx.MockTransport(one)) for one in (store, ledger)
    ]
    count = counting(stores[0], stores[1], lambda: rollout().since)
    assert await count(rollout()) == Seen(sends=12, finished=100, failures=5)
