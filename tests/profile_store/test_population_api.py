"""Segments, searches and histories over HTTP."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr

from services.contracts.definitions import DefinitionRecord
from services.contracts.errors import Transient
from services.profile_store.api import make_app
from services.profile_store.defined import Defined
from services.profile_store.memory import MemoryProfiles
from services.profile_store.population_api import SEARCH_BYTES_MAX, population_routes
from services.profile_store.population_memory import MemoryPopulation
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import NOON, profile

TOKEN = {"Authorization": "Bearer sesame"}


def record(kind: Any, id_: str, definition: dict[str, Any] | None) -> DefinitionRecord:
    return DefinitionRecord(kind=kind, id=id_, version=1, revision=1, definition=definition)


class Api:
    """A client of the application over memory."""

    def __init__(self) -> None:
        self.defined = Defined()
        self.profiles = MemoryProfiles(self.defined.discrete)
        population = MemoryPopulation(self.profiles)
        self.app = make_app(
            self.profiles,
            BearerTokens(TokenSettings(api_tokens=SecretStr("sesame"))),
            Metrics(),
            Health(),
            population_routes(population, self.profiles, self.defined),
        )
        self.client = AsyncClient(
            transport=ASGITransport(self.app), base_url="http://store", headers=TOKEN
        )

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def search(self, status: int = 200, **body: Any) -> Any:
        answer = await self.client.post("/v1/search", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def api() -> Api:
    made = Api()
    made.defined.take(record("segment", "gold", {"name": "Gold", "core": True}))
    made.defined.take(record("segment", "nobody", {}))
    made.defined.take(record("lifecycle", "stage", {}))
    made.defined.take(record("tag", "band", {"derive": {"bands": {"of": "n"}}}))
    made.defined.take(record("tag", "n", {"aggregate": "count"}))
    await made.profiles.put(
        [
            profile("a", segments=("gold", "old"), tags={"n": 1}),
            profile("b", segments=("gold",), tags={"n": 2}),
            profile("c", tags={"n": 3}),
            profile("gone", segments=("gold",), merged_into="a"),
        ]
    )
    return made


async def test_segments_are_told_with_size_share_and_what_is_worth_a_look(api: Api) -> None:
    told = await api.get("/v1/segments")
    assert told["people"] == 3
    assert [tuple(one.values()) for one in told["segments"]] == [
        ("gold", "Gold", True, True, 2, 0.666667),
        ("nobody", "unnamed", False, True, 0, 0.0),
        ("old", "", False, False, 1, 0.333333),
    ]
    assert told["remarks"] == [
        {"segment": "nobody", "code": "too_small", "message": "0.0 % of people: under 5 %"}
    ]


async def test_overlap_is_told_with_its_share_of_either(api: Api) -> None:
    told = await api.get("/v1/segments/overlap")
    assert told == {"overlaps": [{"one": "gold", "other": "old", "people": 1, "jaccard": 0.5}]}


async def test_members_come_in_pages(api: Api) -> None:
    first = await api.get("/v1/segments/gold/members", limit=1)
    second = await api.get("/v1/segments/gold/members", limit=1, cursor=first["next_cursor"])
    assert [one["profiles"][0]["person"] for one in (first, second)] == ["a", "b"]
    assert second["next_cursor"] is None
    assert first["profiles"][0]["segments"] == ["gold", "old"]


async def test_a_search_gives_a_page_and_the_count_where_it_is_asked_for(api: Api) -> None:
    where = {"tag": "n", "op": "gte", "value": 2}
    told = await api.search(where=where, limit=1, count=True)
    assert (told["count"], [one["person"] for one in told["profiles"]]) == (2, ["b"])
    told = await api.search(where=where, cursor=told["next_cursor"])
    assert (told["count"], [one["person"] for one in told["profiles"]]) == (None, ["c"])
    told = await api.search(where={"segment": "gold"}, limit=0, count=True)
    assert (told["count"], told["profiles"]) == (2, [])


@pytest.mark.parametrize(
    "body",
    [
        {"where": {"property": "x", "op": "exists"}},
        {"where": {"tag": "x", "op": "near", "value": 1}},
        {"where": {"tag": "x", "op": "exists"}, "limit": 501},
        {"where": {"tag": "x", "op": "exists"}, "more": True},
        {},
    ],
)
async def test_a_search_that_is_none_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert (await api.search(422, **body))["status"] == 422


async def test_a_search_too_large_is_refused(api: Api) -> None:
    await api.search(413, where={"tag": "x", "op": "in", "value": ["x" * SEARCH_BYTES_MAX]})


async def test_a_history_is_told_newest_first_under_the_name_of_who_they_are_now(api: Api) -> None:
    for number, band in enumerate(("low", "high", "top")):
        await api.profiles.put([profile("a", as_of=NOON + 1 + number, tags={"band": band})])
    await api.profiles.put([profile("was_a", merged_into="a")])
    for person in ("a", "was_a"):
        told = await api.get(f"/v1/people/{person}/history", tag="band", limit=1)
        assert told["points"] == [{"at": "2026-03-01T12:00:00.000003Z", "value": "top"}]
        told = await api.get(f"/v1/people/{person}/history", tag="band", cursor=told["next_cursor"])
        assert [one["value"] for one in told["points"]] == ["high", "low"]
    told = await api.get("/v1/people/a/history", segment="gold")
    assert [one["value"] for one in told["points"]] == [False]


async def test_a_history_is_of_one_tag_or_one_segment(api: Api) -> None:
    for query in ({}, {"tag": "band", "segment": "gold"}):
        answer = await api.client.get("/v1/people/a/history", params=query)
        assert answer.status_code == 400


async def test_nothing_is_told_without_a_token(api: Api) -> None:
    for method, path in (
        ("GET", "/v1/segments"),
        ("GET", "/v1/segments/overlap"),
        ("GET", "/v1/segments/gold/members"),
        ("POST", "/v1/search"),
        ("GET", "/v1/people/a/history?tag=band"),
    ):
        answer = await api.client.request(method, path, headers={"Authorization": ""})
        assert answer.status_code == 401


async def test_a_database_that_is_away_is_503(api: Api) -> None:
    api.profiles.failing = [Transient("away")]
    answer = await api.client.get("/v1/people/a/history", params={"tag": "band"})
    assert answer.status_code == 503


def test_what_is_removed_is_defined_no_more() -> None:
    defined = Defined()
    defined.take(record("lifecycle", "stage", {}))
    defined.take(record("tag", "r", {"derive": {"score": {"of": "n", "cuts": [1, 2, 3, 4]}}}))
    defined.take(record("tag", "city", {"derive": {"trait": "city"}}))
    assert defined.discrete() == ("r", "stage")
    defined.take(record("lifecycle", "stage", None))
    defined.take(record("segment", "x", {}))
    defined.take(record("segment", "x", None))
    assert (defined.discrete(), defined.segments()) == (("r",), [])
