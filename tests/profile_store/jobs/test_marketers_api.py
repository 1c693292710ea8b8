"""The jobs' client against the marketers' API itself, in memory."""

import httpx
import msgspec
import pytest

from services.contracts.definitions import Tag
from services.contracts.errors import CuestreamError, DefinitionError, Transient
from services.profile_store.jobs.marketers_api import MarketersApi
from tests.api.conftest import TOKEN, World, client_of
from tests.profile_store.jobs.support import SCORE, tags


@pytest.fixture(scope="module")
def one_world() -> World:
    """The API, which takes a while to make."""
    return World()


@pytest.fixture
async def world(one_world: World) -> World:
    """The API after its first start."""
    one_world.empty()
    await one_world.definitions.bootstrap()
    return one_world


def api_of(world: World, token: str = TOKEN) -> MarketersApi:
    return MarketersApi(client_of(world.app, None), "http://api", token)


async def test_tags_are_published_and_read_again(world: World) -> None:
    api = api_of(world)
    made = tags(score={"score": SCORE})
    revision = await api.publish(list(made.values()))
    found = await api.tags()
    assert found == made
    assert revision is not None
    assert await api.publish(list(made.values())) is None
    score = msgspec.structs.replace(made["score"], name="Another")
    assert await api.publish([score]) == revision + 1
    assert (await api.tags())["score"].version == 2


async def test_all_pages_of_tags_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.profile_store.jobs.marketers_api.PAGE", 2)
    api = api_of(world)
    await api.publish(list(tags().values()))
    assert len(await api.tags()) == 5
    monkeypatch.setattr("services.profile_store.jobs.marketers_api.PAGES_MAX", 2)
    with pytest.raises(CuestreamError, match="pages"):
        await api.tags()


async def test_wrong_tags_are_named_with_their_places(world: World) -> None:
    wrong = Tag(id="liked", aggregate="top_k", events=("order",), value="brand", k=50)
    with pytest.raises(DefinitionError, match=r"tags\.liked\.k"):
        await api_of(world).publish([wrong])


async def test_a_token_that_is_not_accepted_is_no_matter_of_time(world: World) -> None:
    with pytest.raises(CuestreamError, match="401") as refused:
        await api_of(world, "wrong").tags()
    assert not isinstance(refused.value, Transient)
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b"{}", Transient),
        (429, b"", Transient),
        (404, b"not json", CuestreamError),
        (200, b"[]", CuestreamError),
    ],
)
async def test_other_answers_are_told_by_what_to_do(
    status: int, body: bytes, error: type[Exception]
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(error):
            await MarketersApi(client, "http://api", "t").tags()


async def test_an_api_that_is_away_is_transient() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    async with httpx.AsyncClient(transport=httpx.MockTransport(away)) as client:
        with pytest.raises(Transient, match="ConnectError"):
            await MarketersApi(client, "http://api", "t").tags()
