"""Which tags still change in anybody, and when they last did."""

import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr

from services.contracts.profile import Profile
from services.contracts.time import HOUR
from services.profile_store.api import make_app
from services.profile_store.memory import MemoryProfiles
from services.profile_store.postgres import NOTICED_MAX, PostgresProfiles
from services.profile_store.profiles import Profiles
from services.profile_store.tag_changes import (
    MemoryTagChanges,
    PostgresTagChanges,
    TagChange,
    TagChanges,
)
from services.profile_store.tag_changes_api import tag_changes_routes
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import NOON, profile


class Stored:
    """Profiles, and what was noticed of their tags, over one store."""

    def __init__(self, profiles: Profiles, changes: TagChanges) -> None:
        self.profiles = profiles
        self.changes = changes

    async def put(self, at: int, **tags: object) -> None:
        await self.profiles.put([profile("ann", as_of=at, tags=tags)])

    async def latest(self) -> dict[str, int]:
        return {one.tag: one.at - NOON for one in await self.changes.latest()}


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
def stored(request: pytest.FixtureRequest) -> Stored:
    """Each adapter in turn."""
    if request.param == "memory":
        profiles = MemoryProfiles()
        return Stored(profiles, MemoryTagChanges(profiles))
    engine = request.getfixturevalue("engine")
    return Stored(PostgresProfiles(engine), PostgresTagChanges(engine))


async def test_a_first_profile_counts_where_a_tag_says_something(stored: Stored) -> None:
    assert await stored.changes.latest() == []
    await stored.put(NOON, none=None, zero=0, nought=0.0, empty=[], text="", no=False, one=1)
    assert sorted(await stored.latest()) == ["no", "one", "text"]


async def test_another_value_is_noticed_and_the_same_one_is_not(stored: Stored) -> None:
    await stored.put(NOON, kept=1, moved=1, gone="a", come=None)
    later = NOON + 2 * HOUR
    await stored.put(later, kept=1.0, moved=2, gone=None, come=[1])
    assert await stored.latest() == {
        "kept": 0, "moved": 2 * HOUR, "gone": 2 * HOUR, "come": 2 * HOUR,
    }  # fmt: skip
    since = {one.tag: one.since for one in await stored.changes.latest()}
    assert since == {"kept": NOON, "moved": NOON, "gone": NOON, "come": later}


async def test_a_tag_is_written_down_once_an_hour(stored: Stored) -> None:
    for minutes in (0, 30, 59, 60, 61, 150):
        await stored.put(NOON + minutes * HOUR // 60, n=minutes + 1)
    assert await stored.latest() == {"n": HOUR * 150 // 60}
    await stored.put(NOON + 160 * HOUR // 60, n=0)
    assert await stored.latest() == {"n": HOUR * 150 // 60}


async def test_an_older_profile_and_one_of_a_merged_person_change_nothing(stored: Stored) -> None:
    await stored.put(NOON, n=1)
    await stored.put(NOON - 3 * HOUR, n=2)
    await stored.profiles.put(
        [profile("ann", as_of=NOON + 3 * HOUR, tags={"n": 3}, merged_into="bob")]
    )
    assert await stored.latest() == {"n": 0}


async def test_of_a_great_batch_a_few_tell_enough(stored: Stored) -> None:
    many: list[Profile] = [
        profile(f"p{number}", as_of=NOON, tags={"n": 1}) for number in range(3 * NOTICED_MAX)
    ]
    await stored.profiles.put(many)
    assert await stored.changes.latest() == [TagChange(tag="n", since=NOON, at=NOON)]


async def test_changes_are_served_to_who_has_a_token() -> None:
    profiles = MemoryProfiles()
    app = make_app(
        profiles,
        BearerTokens(TokenSettings(api_tokens=SecretStr("sesame"))),
        Metrics(),
        Health(),
        tag_changes_routes(MemoryTagChanges(profiles)),
    )
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://store") as client:
        assert (await client.get("/v1/tags/changes")).status_code == 401
        token = {"Authorization": "Bearer sesame"}
        empty = await client.get("/v1/tags/changes", headers=token)
        assert empty.json() == {"watched_since": None, "tags": []}
        for at in (NOON, NOON + 2 * HOUR):
            await profiles.put([profile("ann", as_of=at, tags={"n": at})])
        told = (await client.get("/v1/tags/changes", headers=token)).json()
    assert told["watched_since"] < told["tags"][0]["changed_at"]
    assert [one["id"] for one in told["tags"]] == ["n"]
