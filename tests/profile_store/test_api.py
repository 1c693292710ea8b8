"""The read API: lookups, lists, cursors, and what it refuses."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient, Response
from pydantic import SecretStr

from services.contracts.errors import Transient
from services.profile_store.api import make_app
from services.profile_store.memory import MemoryProfiles
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import HOSTILE_TEXTS, WHOLE, profile

TOKEN = {"Authorization": "Bearer sesame"}


class Api:
    """A client of the application over profiles in memory."""

    def __init__(self) -> None:
        self.profiles = MemoryProfiles()
        tokens = BearerTokens(TokenSettings(api_tokens=SecretStr("other, sesame")))
        app = make_app(self.profiles, tokens, Metrics(), Health())
        self.client = AsyncClient(transport=ASGITransport(app), base_url="http://store")

    async def get(
        self, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] = TOKEN
    ) -> Response:
        return await self.client.get(path, params=query, headers=headers)


@pytest.fixture
async def api() -> Api:
    made = Api()
    await made.profiles.put([WHOLE, profile("ana", anonymous_id="anon-ana")])
    return made


def assert_problem(answer: Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    return body


async def test_a_profile_is_read_by_user_id(api: Api) -> None:
    answer = await api.get("/v1/profiles/full")
    assert answer.status_code == 200
    assert answer.json() == {
        "person": "full",
        "user_id": "full",
        "anonymous_id": "anon-full",
        "traits": WHOLE.traits,
        "consents": {
            name: msgspec.structs.asdict(WHOLE.consents[name]) | {"at": at}
            for name, at in (
                ("marketing", "2026-03-01T12:00:00.000000Z"),
                ("sms", "2026-03-01T11:59:59.999995Z"),
            )
        },
        "tags": WHOLE.tags,
        "approximate": ["top", "spend"],
        "segments": ["gold", "vip"],
        "messages_accepted": 4,
        "messages_failed": 1,
        "last_message_at": "2026-03-01T12:00:00.000005Z",
        "as_of": "2026-03-01T12:00:00.000000Z",
        "first_seen_at": "2026-03-01T11:59:59.000000Z",
        "last_seen_at": "2026-03-01T12:00:00.000000Z",
        "revision": 7,
        "source": {"partition": 3, "offset": 10},
    }


async def test_a_profile_is_read_by_anonymous_id(api: Api) -> None:
    assert (await api.get("/v1/profiles/anon-ana")).json()["person"] == "ana"


async def test_a_merged_id_gives_the_profile_of_the_person_it_is_now(api: Api) -> None:
    await api.profiles.put(
        [profile("anon-1", merged_into="between"), profile("between", merged_into="full")]
    )
    answer = await api.get("/v1/profiles/anon-1")
    assert (answer.status_code, answer.json()["person"]) == (200, "full")


async def test_a_merged_id_whose_person_is_not_here_yet_is_not_found(api: Api) -> None:
    await api.profiles.put([profile("anon-1", merged_into="later")])
    assert_problem(await api.get("/v1/profiles/anon-1"), 404, "not_found")


async def test_people_merged_in_a_ring_are_not_found(api: Api) -> None:
    await api.profiles.put([profile("a", merged_into="b"), profile("b", merged_into="a")])
    assert_problem(await api.get("/v1/profiles/a"), 404, "not_found")


@pytest.mark.parametrize("id_", [*HOSTILE_TEXTS, "a/b", "/", "a?b#c", "日本"])
async def test_any_id_can_be_asked_for(api: Api, id_: str) -> None:
    await api.profiles.put([profile(id_)])
    answer = await api.get(f"/v1/profiles/{quote(id_, safe='')}")
    assert answer.status_code == 200
    assert answer.json()["person"] == id_


async def test_an_unknown_id_is_not_found(api: Api) -> None:
    assert_problem(await api.get("/v1/profiles/nobody"), 404, "not_found")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VzYW1lOg=="}]
)
@pytest.mark.parametrize("path", ["/v1/profiles/full", "/v1/profiles?tag=a&value=1"])
async def test_nothing_is_shown_without_a_token(
    api: Api, path: str, headers: dict[str, str]
) -> None:
    answer = await api.get(path, headers=headers)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_no_token_configured_refuses_everybody() -> None:
    tokens = BearerTokens(TokenSettings(api_tokens=SecretStr(" , ")))
    assert not tokens.accepts("")
    assert not tokens.accepts(" ")


async def test_profiles_are_listed_by_tag_in_pages(api: Api) -> None:
    names = [f"p{number}" for number in range(5)]
    await api.profiles.put([profile(name, tags={"plan": "gold"}) for name in names])
    seen: list[str] = []
    query: dict[str, Any] = {"tag": "plan", "value": "gold", "limit": 2}
    while True:
        page = (await api.get("/v1/profiles", query)).json()
        seen += [one["person"] for one in page["profiles"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == names


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"value": "5"}, ["number", "text"]),
        ({"value": '"5"'}, ["quoted"]),
        ({"value": "true"}, ["truth"]),
        ({"op": "gte", "value": "5"}, ["number"]),
        ({"op": "lte", "value": "4.9"}, []),
    ],
)
async def test_a_value_means_the_number_and_the_same_text(
    api: Api, query: dict[str, str], expected: list[str]
) -> None:
    values = {"number": 5, "text": "5", "quoted": '"5"', "truth": True}
    await api.profiles.put([profile(name, tags={"t": value}) for name, value in values.items()])
    page = (await api.get("/v1/profiles", {"tag": "t", **query})).json()
    assert [one["person"] for one in page["profiles"]] == expected


@pytest.mark.parametrize(
    ("query", "status", "place"),
    [
        ({"value": "1"}, 422, "query.tag"),
        ({"tag": "Not a tag", "value": "1"}, 422, "query.tag"),
        ({"tag": "t"}, 422, "query.value"),
        ({"tag": "t", "value": "1", "op": "like"}, 422, "query.op"),
        ({"tag": "t", "value": "1", "limit": "0"}, 422, "query.limit"),
        ({"tag": "t", "value": "1", "limit": "501"}, 422, "query.limit"),
        ({"tag": "t", "value": "x" * 1001}, 422, "query.value"),
        ({"tag": "t", "value": "word", "op": "gte"}, 400, None),
        ({"tag": "t", "value": "true", "op": "lte"}, 400, None),
        ({"tag": "t", "value": "1e999", "op": "lte"}, 400, None),
        ({"tag": "t", "value": "1", "cursor": "!!"}, 400, None),
        ({"tag": "t", "value": "1", "cursor": "gICA"}, 400, None),
    ],
)
async def test_a_wrong_question_is_refused_with_the_place(
    api: Api, query: dict[str, str], status: int, place: str | None
) -> None:
    answer = await api.get("/v1/profiles", query)
    code = "invalid_request" if status == 422 else "bad_request"
    body = assert_problem(answer, status, code)
    if place is not None:
        assert [error["place"] for error in body["errors"]] == [place]


async def test_a_database_that_is_away_is_said_so(api: Api) -> None:
    api.profiles.failing = [Transient("away")]
    answer = await api.get("/v1/profiles/full")
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_an_unknown_path_and_method_are_problems_too(api: Api) -> None:
    assert_problem(await api.get("/v2"), 404, "not_found")
    assert_problem(await api.client.post("/v1/profiles"), 405, "method_not_allowed")
