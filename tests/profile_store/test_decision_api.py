"""The decision log over HTTP."""

from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr

from services.contracts.decision import Outcome
from services.contracts.time import HOUR
from services.profile_store.api import make_app
from services.profile_store.decision_api import decision_routes
from services.profile_store.decision_memory import MemoryDecisions
from services.profile_store.memory import MemoryProfiles
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import NOON, profile
from tests.profile_store.test_decision_log import decision, logged


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """Some decisions, and ana who was `anon/1` before."""
    profiles, decisions = MemoryProfiles(), MemoryDecisions()
    await profiles.put([profile("ana"), profile("anon/1", merged_into="ana")])
    await decisions.put(
        logged(
            [
                *(decision(now=NOON + number, event_id=str(number)) for number in range(5)),
                decision(person="anon/1", now=NOON - 1),
                decision(trigger="other", outcome=Outcome.CAP, now=NOON + HOUR),
                decision(
                    person="bo",
                    trigger="third",
                    outcome=Outcome.AUDIENCE,
                    details={"trait": "email", "op": "exists", "actual": "bo@example.com"},
                ),
            ]
        )
    )
    app = make_app(
        profiles,
        BearerTokens(TokenSettings(api_tokens=SecretStr("sesame"))),
        Metrics(),
        Health(),
        decision_routes(decisions, profiles),
    )
    headers = {"Authorization": "Bearer sesame"}
    async with AsyncClient(
        transport=ASGITransport(app), base_url="http://store", headers=headers
    ) as made:
        yield made


async def test_decisions_of_a_person_come_by_the_page(client: AsyncClient) -> None:
    events = list[str]()
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "2", "trigger": "hello"} | ({"cursor": cursor} if cursor else {})
        answer = (await client.get("/v1/people/ana/decisions", params=query)).json()
        events += [one["event_id"] for one in answer["decisions"]]
        cursor = answer["next_cursor"]
    assert events == ["4", "3", "2", "1", "0"]


async def test_a_decision_is_shown_whole(client: AsyncClient) -> None:
    answer = await client.get("/v1/people/ana/decisions", params={"trigger": "other"})
    assert answer.json()["decisions"] == [
        {
            "person": "ana",
            "trigger": "other",
            "trigger_version": 1,
            "step": 0,
            "outcome": "cap",
            "event_id": "e",
            "at": "2026-03-01T13:00:00.000000Z",
            "now": NOON + HOUR,
            "revision": 1,
            "run_id": None,
            "send_id": None,
            "details": {},
        }
    ]


async def test_what_a_clause_found_of_a_sensitive_trait_is_masked(client: AsyncClient) -> None:
    answer = await client.get("/v1/people/bo/decisions")
    assert [one["details"]["actual"] for one in answer.json()["decisions"]] == ["b***@example.com"]


async def test_an_old_id_shows_what_was_decided_under_both(client: AsyncClient) -> None:
    answer = (await client.get("/v1/people/anon/1/decisions")).json()
    assert {one["person"] for one in answer["decisions"]} == {"ana", "anon/1"}
    assert len(answer["decisions"]) == 7


async def test_counts_are_of_the_hours_asked_for(client: AsyncClient) -> None:
    answer = (await client.get("/v1/decision-counts")).json()
    assert [(one["trigger"], one["decisions"]) for one in answer["counts"]] == [
        ("hello", 1), ("hello", 5), ("third", 1), ("other", 1),
    ]  # fmt: skip
    query = {"from": "2026-03-01T12:30:00Z", "to": "2026-03-01T13:00:00Z"}
    answer = (await client.get("/v1/decision-counts", params=query)).json()
    assert [(one["hour"], one["decisions"]) for one in answer["counts"]] == [
        ("2026-03-01T12:00:00Z", 5),
        ("2026-03-01T12:00:00Z", 1),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/decision-counts?from=yesterday",
        "/v1/decision-counts?from=2026-03-02&to=2026-03-01",
        "/v1/decision-counts?from=2020-01-01&to=2026-03-01",
        "/v1/people/ana/decisions?cursor=%FF",
        "/v1/people/ana/decisions?cursor=AAAA",
    ],
)
async def test_what_cannot_be_asked_is_refused(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 400


async def test_nothing_is_told_without_a_token(client: AsyncClient) -> None:
    for path in ("/v1/decision-counts", "/v1/people/ana/decisions"):
        assert (await client.get(path, headers={"Authorization": "no"})).status_code == 401
