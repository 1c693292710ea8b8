"""Backtests over HTTP: asked for, followed, taken back, and what they say of reach."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from services.contracts.conditions import Condition
from services.contracts.definitions import Bundle
from services.triggers.backtest.jobs import WAITING_MAX, Ended
from tests.api.around import Surroundings
from tests.api.conftest import client_of
from tests.definitions.support import START

DRAFT: dict[str, Any] = {
    "id": "thanks",
    "rollout": 50,
    "entry": {"events": ["order"]},
    "steps": [{"send": {"channel": "log"}}],
}
REPORT: dict[str, Any] = {
    "begins_at": "2026-03-01T00:00:00Z",
    "ends_at": "2026-03-11T00:00:00Z",
    "triggers": [{"trigger": "thanks", "sends": 80, "offers": 15, "handoffs": 5}],
}


@pytest.fixture
async def client(scene: Surroundings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(scene.app) as made:
        assert (await made.post("/v1/triggers", json=DRAFT)).status_code == 201
        yield made


async def asked(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/backtests", json={"triggers": ["thanks"], **body})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/backtests/{answer.json()['id']}"
    return dict(answer.json())


async def test_a_job_has_all_that_it_needs_and_its_runner_is_told(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    made = await asked(client, events="march.jsonl", **{"from": "2026-03-01"}, samples=2)
    assert (made["status"], made["report"], scene.woken) == ("queued", None, 1)
    question = (await scene.jobs.get(made["id"])).question
    live, together = (msgspec.convert(one, Bundle) for one in (question.live, question.together))
    assert [one.id for one in live.triggers] == []
    assert [(one.id, one.status) for one in together.triggers] == [("thanks", "live")]
    assert (question.begins_at, question.samples) == ("2026-03-01", 2)


async def test_progress_and_result_are_read_until_they_are_there(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    id_ = (await asked(client))["id"]
    await scene.jobs.claim("me", START)
    await scene.jobs.said(id_, "me", what="deciding", share=0.5, now=START)
    found = (await client.get(f"/v1/backtests/{id_}")).json()
    assert (found["status"], found["doing"], found["share"]) == ("running", "deciding", 0.5)
    await scene.jobs.end(id_, "me", Ended(status="done", report=REPORT), START)
    found = (await client.get(f"/v1/backtests/{id_}")).json()
    assert (found["status"], found["report"], found["share"]) == ("done", REPORT, None)
    listed = (await client.get("/v1/backtests")).json()["items"]
    assert [(one["id"], one["report"]) for one in listed] == [(id_, None)]


async def test_a_job_is_taken_back_once_and_stays_so(client: httpx.AsyncClient) -> None:
    id_ = (await asked(client))["id"]
    for _ in range(2):
        answer = await client.post(f"/v1/backtests/{id_}/cancel")
        assert answer.json()["status"] == "cancelled"


async def test_jobs_are_listed_by_the_page(client: httpx.AsyncClient) -> None:
    made = [(await asked(client))["id"] for _ in range(5)]
    found, cursor = list[str](), None
    while True:
        query = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
        page = (await client.get("/v1/backtests", params=query)).json()
        found += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == made[::-1]


async def test_no_more_wait_than_anybody_would_wait_for(client: httpx.AsyncClient) -> None:
    for _ in range(WAITING_MAX):
        await asked(client)
    answer = await client.post("/v1/backtests", json={"triggers": ["thanks"]})
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"triggers": []}, 422),
        ({"triggers": ["nothing"]}, 404),
        ({"triggers": ["thanks"], "events": "april.jsonl"}, 422),
        ({"triggers": ["thanks"], "events": "../march.jsonl"}, 422),
        ({"triggers": ["thanks"], "from": "March"}, 422),
        ({"triggers": ["thanks"], "from": "2026-03-02", "to": "2026-03-01"}, 422),
    ],
)
async def test_what_cannot_be_played_is_refused_at_once(
    client: httpx.AsyncClient, body: dict[str, Any], status: int
) -> None:
    assert (await client.post("/v1/backtests", json=body)).status_code == status


async def test_an_unknown_job_is_not_found(client: httpx.AsyncClient) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    assert (await client.get(f"/v1/backtests/{unknown}")).status_code == 404
    assert (await client.post(f"/v1/backtests/{unknown}/cancel")).status_code == 404


async def done(client: httpx.AsyncClient, scene: Surroundings) -> str:
    id_ = str((await asked(client))["id"])
    await scene.jobs.claim("me", START)
    await scene.jobs.end(id_, "me", Ended(status="done", report=REPORT), START)
    return id_


async def test_reach_is_counted_in_the_profile_store_and_sends_come_of_the_backtest(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    audience = {
        "all": [
            {"trait": "vip", "op": "eq", "value": True},
            {"property": "n", "op": "gte", "value": 1},
        ]
    }
    changed = {"audience": audience}
    await client.patch("/v1/triggers/thanks", json=changed, headers={"If-Match": "*"})

    def search(body: dict[str, Any]) -> dict[str, Any]:
        where = msgspec.convert(body["where"], Condition)
        of_everybody = where.not_ is not None
        return {"profiles": [], "next_cursor": None, "count": 400 if of_everybody else 100}

    scene.answers["/v1/search"] = search
    id_ = await done(client, scene)
    found = (await client.get("/v1/triggers/thanks/reach")).json()
    # 100 sends in ten days at half of the people.
    assert found == {
        "people": 100, "of": 400, "share": 0.25, "exact": False, "sends_a_day": 20.0,
        "backtest": id_,
    }  # fmt: skip
    conditions = [body["where"] for _, body in scene.asked]
    assert {"all": [{"trait": "vip", "op": "eq", "value": True}]} in conditions


async def test_without_an_audience_everybody_is_reached(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    scene.answers["/v1/search"] = {"profiles": [], "next_cursor": None, "count": 400}
    found = (await client.get("/v1/triggers/thanks/reach")).json()
    assert (found["people"], found["share"], found["exact"]) == (400, 1.0, True)
    assert (found["sends_a_day"], found["backtest"]) == (None, None)


async def test_reach_is_not_known_while_the_profile_store_is_away(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v1/triggers/thanks/reach")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
