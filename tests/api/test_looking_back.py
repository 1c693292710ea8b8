"""After publishing: counts, decisions and why not, read where they stand."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.triggers.engine import new_state
from tests.api.around import Surroundings
from tests.api.conftest import client_of

TRIGGER: dict[str, Any] = {
    "id": "thanks",
    "entry": {"events": ["order"]},
    "steps": [{"send": {"channel": "log"}}],
}
COUNT = {
    "hour": "2026-03-01T12:00:00Z", "trigger": "thanks", "version": 1, "outcome": "cap",
    "reason": "daily", "put_off": True, "decisions": 7,
}  # fmt: skip
DECISION = {
    "person": "a/b", "trigger": "thanks", "trigger_version": 1, "step": 0, "outcome": "sent",
    "event_id": "e", "at": "2026-03-01T12:00:00Z", "revision": 1, "run_id": None,
    "send_id": None, "details": {"x": [1]},
}  # fmt: skip


@pytest.fixture
async def client(scene: Surroundings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(scene.app) as made:
        await made.post("/v1/triggers?publish=true", json=TRIGGER)
        yield made


async def test_counts_are_those_of_the_decision_log(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    scene.answers["/v1/decision-counts"] = {"counts": [COUNT], "more": False}
    query = {"from": "2026-03-01T13:00:00+01:00", "to": "2026-03-02T00:00:00Z"}
    answer = await client.get("/v1/triggers/thanks/counts", params=query)
    assert answer.json() == {"counts": [COUNT], "more": False}
    path, _ = scene.asked[0]
    assert httpx.URL(path).params == httpx.QueryParams(
        {"trigger": "thanks", "from": "2026-03-01T12:00:00+00:00",
         "to": "2026-03-02T00:00:00+00:00"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "status"),
    [("?from=yesterday", 422), ("?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", 422)],
)
async def test_counts_are_of_a_time_that_there_is(
    client: httpx.AsyncClient, query: str, status: int
) -> None:
    assert (await client.get(f"/v1/triggers/thanks/counts{query}")).status_code == status
    assert (await client.get("/v1/triggers/other/counts")).status_code == 404


async def test_decisions_of_a_person_are_those_of_the_decision_log(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    scene.answers["/v1/people/a/b/decisions"] = {
        "decisions": [{**DECISION, "now": 5}], "next_cursor": "AAAA",
    }  # fmt: skip
    answer = await client.get("/v1/people/a%2Fb/decisions?trigger=thanks&limit=1")
    assert answer.json() == {"decisions": [DECISION], "next_cursor": "AAAA"}
    assert scene.asked[0][0] == "/v1/people/a%2Fb/decisions?trigger=thanks&limit=1"


async def test_the_answer_is_503_while_the_profile_store_is_away(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/v1/triggers/thanks/counts", "/v1/people/ana/decisions"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "retry-after" in answer.headers


async def test_why_not_is_asked_of_one_person_and_one_trigger(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    scene.people.states["a/b"] = new_state("a/b")
    answer = await client.get("/v1/people/a%2Fb/why?trigger=thanks&step=2")
    assert answer.json()["sentence"] == "thanks for a/b, step 2"
    assert (await client.get("/v1/people/nobody/why?trigger=thanks")).status_code == 404
    assert (await client.get("/v1/people/nobody/why")).status_code == 422
