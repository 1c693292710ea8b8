"""Templates over HTTP: refused where they could not be sent, and shown as a person gets them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.contracts.errors import Transient
from services.triggers.api.profiles_client import ProfileStore, StoredProfile
from services.triggers.api.template_routes import template_routes
from services.triggers.definitions.memory import MemoryStore, Tables
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.texts import check_whole
from tests.api.conftest import client_of, make_api
from tests.definitions.support import START

TAG = {"id": "orders_30d", "aggregate": "count", "events": ["Order Completed"], "window": "30d"}
TEMPLATE: dict[str, Any] = {
    "id": "thanks",
    "content": {
        "subject": "Thanks, {{ first_name }}",
        "body": "{{ order_id }}, your number {{ tags.orders_30d }}",
        "html": "<p>{{ first_name }}</p>",
    },
    "variables": {
        "first_name": {"trait": "first_name", "fallback": "friend"},
        "order_id": {"property": "order_id"},
    },
}
ADA = StoredProfile(person="ada", traits={"first_name": "A<da>"}, tags={"orders_30d": 4})


class Known:
    """People who are known, unless the store is away."""

    def __init__(self) -> None:
        self.away = False

    async def profile(self, id_: str) -> StoredProfile | None:
        """See the port."""
        if self.away:
            raise Transient("away")
        return ADA if id_ == "ada" else None


@pytest.fixture
def people() -> Known:
    """Ada alone."""
    return Known()


@pytest.fixture
async def api(people: Known) -> AsyncIterator[httpx.AsyncClient]:
    """The API with all checks, a tag and a template in force."""
    definitions = Definitions(
        MemoryStore(Tables()), check_whole, workspace="default", now=lambda: START
    )
    await definitions.bootstrap()
    app = make_api(definitions, more_routers=[template_routes(definitions, people)])
    async with client_of(app) as client:
        for kind, body in (("tags", TAG), ("templates", TEMPLATE)):
            made = await client.post(f"/v1/{kind}?publish=true", json=body)
            assert made.status_code == 201, made.text
        yield client


async def preview(api: httpx.AsyncClient, **asked: Any) -> httpx.Response:
    """What the preview of the template answers."""
    return await api.post("/v1/templates/thanks/preview", json=asked)


async def test_a_preview_shows_what_a_person_of_the_store_would_get(api: httpx.AsyncClient) -> None:
    answer = await preview(api, person="ada", event={"order_id": "o-1"})
    assert answer.json() == {
        "version": 1,
        "subject": "Thanks, A<da>",
        "body": "o-1, your number 4",
        "html": "<p>A&lt;da&gt;</p>",
        "variables": {"first_name": "A<da>", "order_id": "o-1"},
        "fallbacks": [],
        "problems": [],
    }


async def test_a_preview_on_a_made_up_profile_says_what_stood_in_and_what_is_missing(
    api: httpx.AsyncClient,
) -> None:
    shown = (await preview(api, profile={})).json()
    assert (shown["subject"], shown["fallbacks"]) == ("Thanks, friend", ["first_name"])
    assert shown["body"] is None
    (problem,) = shown["problems"]
    assert problem["place"] == "content.body"
    assert "order_id" in problem["reason"]
    shown = (await preview(api, profile={"tags": {}}, event={"order_id": 1})).json()
    assert shown["body"] == "1, your number 0"


async def test_a_preview_shows_the_draft_unless_asked_for_what_is_in_force(
    api: httpx.AsyncClient,
) -> None:
    draft = {**TEMPLATE, "content": {"subject": "draft", "body": "b"}}
    saved = await api.put("/v1/templates/thanks", json=draft, headers={"If-Match": "*"})
    assert saved.status_code == 200
    shown = (await preview(api, profile={}, event={"order_id": 1})).json()
    assert (shown["subject"], shown["version"]) == ("draft", 0)
    shown = (await preview(api, profile={}, event={"order_id": 1}, published=True)).json()
    assert (shown["subject"], shown["version"]) == ("Thanks, friend", 1)


async def test_a_preview_needs_one_person_who_is_known(
    api: httpx.AsyncClient, people: Known
) -> None:
    assert (await preview(api, person="bob")).status_code == 404
    for asked in ({}, {"person": "ada", "profile": {}}, {"person": "a\0"}, {"person": 1}):
        answer = await preview(api, **asked)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), asked
    people.away = True
    answer = await preview(api, person="ada")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"content": {"subject": "{{ city }}"}}, "templates.thanks.content.subject"),
        ({"content": {"body": "{% if %}"}}, "templates.thanks.content.body"),
        ({"variables": {"x": {"tag": "gone"}}}, "templates.thanks.variables.x.tag"),
    ],
)
async def test_a_template_that_could_not_be_sent_is_refused_with_the_place(
    api: httpx.AsyncClient, changes: dict[str, Any], place: str
) -> None:
    body = {**TEMPLATE, **changes}
    answer = await api.put("/v1/templates/thanks", json=body, headers={"If-Match": "*"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == place


async def test_a_template_that_a_trigger_names_stays_in_force(api: httpx.AsyncClient) -> None:
    trigger = {
        "id": "thank_you",
        "entry": {"events": ["Order Completed"]},
        "steps": [{"send": {"channel": "mail", "template": "thanks"}}],
    }
    assert (await api.post("/v1/triggers?publish=true", json=trigger)).status_code == 201
    answer = await api.delete("/v1/templates/thanks", headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert answer.json()["errors"][0]["place"] == "triggers.thank_you.steps[0].send.template"


async def test_the_profile_store_is_asked_by_the_persons_id_as_it_is() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path.endswith("gone"):
            return httpx.Response(404, json={"detail": "no profile has this id"})
        if request.url.path.endswith("busy"):
            return httpx.Response(503)
        return httpx.Response(200, json={"person": "a/b", "traits": {"x": 1}, "more": 2})

    store = ProfileStore("http://store/", "secret", transport=httpx.MockTransport(answer))
    found = await store.profile("a/b?c")
    assert found == StoredProfile(person="a/b", traits={"x": 1})
    assert seen[0].url.raw_path == b"/v1/profiles/a%2Fb%3Fc"
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert await store.profile("gone") is None
    with pytest.raises(Transient):
        await store.profile("busy")
    await store.close()
