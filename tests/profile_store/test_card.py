"""The profile card: four parts, every tag in the one where a marketer looks for it."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr

from services.contracts.decision import Outcome
from services.contracts.definitions import DefinitionRecord
from services.contracts.profile import Consent
from services.profile_store.api import make_app
from services.profile_store.card import card_routes
from services.profile_store.decision_memory import MemoryDecisions
from services.profile_store.defined import Defined
from services.profile_store.memory import MemoryProfiles
from services.profile_store.sensitive import Sensitive
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import NOON, profile
from tests.profile_store.test_decision_log import decision, logged

TAGS = {
    "age_band": {"name": "Age 年龄段", "layer": "basic", "description": "by birthday"},
    "orders_30d": {"name": "Orders", "layer": "behaviour", "unit": "orders"},
    "likes": {"layer": "preference"},
    "spend": {"layer": "value"},
    "churn": {"layer": "predicted"},
    "plain": {"name": "unnamed"},
}


class Store:
    """A store over memory with ana in it."""

    def __init__(self) -> None:
        self.profiles, self.decisions, self.defined = MemoryProfiles(), MemoryDecisions(), Defined()
        for id_, definition in TAGS.items():
            self._define("tag", id_, definition)
        self._define("lifecycle", "life", {"name": "Life cycle"})
        self.app = make_app(
            self.profiles,
            BearerTokens(TokenSettings(api_tokens=SecretStr("sesame"))),
            Metrics(),
            Health(ready={}),
            card_routes(self.profiles, self.decisions, self.defined),
        )
        headers = {"Authorization": "Bearer sesame"}
        self.client = AsyncClient(
            transport=ASGITransport(self.app), base_url="http://store", headers=headers
        )

    def _define(self, kind: Any, id_: str, definition: dict[str, Any]) -> None:
        self.defined.take(
            DefinitionRecord(kind=kind, id=id_, version=1, revision=1, definition=definition)
        )

    async def card(self, person: str = "ana") -> Any:
        """The card as JSON."""
        answer = await self.client.get(f"/v1/people/{person}/card")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def store() -> Store:
    made = Store()
    tags = {
        "age_band": "30-39", "orders_30d": 2, "likes": ["tea"], "spend": 12.5, "churn": 0.2,
        "plain": 1, "life": "active", "gone": None, "unknown_to_us": "x",
    }  # fmt: skip
    consents = {"sms": Consent(answer=False, at=NOON, event_id="link")}
    await made.profiles.put(
        [
            profile(
                "ana", tags=tags, approximate=("spend",), segments=("gold",), consents=consents,
                traits={"email": "ana@example.com"},
            ),
            profile("was_ana", merged_into="ana"),
        ]
    )  # fmt: skip
    refused = decision(outcome=Outcome.CAP, now=NOON + 5, details={"policy": "daily"})
    earlier = decision(person="was_ana", event_id="before")
    await made.decisions.put(logged([earlier, refused]))
    return made


def ids(tags: list[Any]) -> list[str]:
    return [one["id"] for one in tags]


async def test_each_tag_stands_in_its_part(store: Store) -> None:
    card = await store.card()
    assert ids(card["core"]["tags"]) == ["age_band"]
    assert ids(card["core"]["lifecycles"]) == ["life"]
    assert ids(card["behaviour"]) == ["likes", "orders_30d", "plain", "spend", "unknown_to_us"]
    assert ids(card["predicted"]) == ["churn"]


async def test_a_tag_is_told_as_marketers_call_it(store: Store) -> None:
    card = await store.card()
    assert card["core"]["tags"][0] == {
        "id": "age_band", "name": "Age 年龄段", "layer": "basic", "meaning": "by birthday",
        "unit": None, "value": "30-39", "approximate": False,
    }  # fmt: skip
    spend = next(one for one in card["behaviour"] if one["id"] == "spend")
    assert (spend["name"], spend["approximate"]) == ("spend", True)


async def test_contacts_say_why_and_sensitive_traits_are_masked(store: Store) -> None:
    card = await store.card()
    assert card["core"]["traits"] == {"email": "a***@example.com"}
    (refused,) = card["contacts"]["decisions"]
    assert (refused["outcome"], refused["details"]) == ("cap", {"policy": "daily"})
    assert card["contacts"]["consents"]["sms"]["answer"] is False


async def test_under_an_old_name_it_is_the_card_of_who_they_are_now(store: Store) -> None:
    card = await store.card("was_ana")
    assert card["core"]["person"] == "ana"
    assert [one["event_id"] for one in card["contacts"]["decisions"]] == ["e", "before"]


async def test_nobody_has_no_card(store: Store) -> None:
    answer = await store.client.get("/v1/people/nobody/card")
    assert answer.status_code == 404


async def test_tags_and_decisions_that_show_what_is_sensitive_are_masked() -> None:
    store = Store()
    store.app.state.sensitive = Sensitive(tags=store.defined.sensitive)
    store._define("tag", "called_from", {"aggregate": "last", "value": "phone"})
    store._define("tag", "mail", {"derive": {"trait": "email"}, "layer": "basic"})
    tags = {"called_from": "+8613800138000", "mail": "ana@example.com", "orders_30d": 2}
    await store.profiles.put([profile("ana", tags=tags)])
    details = {"clause": "audience", "tag": "mail", "op": "eq", "actual": "ana@example.com"}
    refused = decision(outcome=Outcome.AUDIENCE, details=details)
    await store.decisions.put(logged([refused]))
    card = await store.card()
    assert [one["value"] for one in card["core"]["tags"]] == ["a***@example.com"]
    assert [one["value"] for one in card["behaviour"]] == ["***8000", 2]
    (told,) = card["contacts"]["decisions"]
    assert told["details"]["actual"] == "a***@example.com"
    shown = (await store.client.get("/v1/profiles/ana")).json()
    assert shown["tags"] == {
        "called_from": "***8000", "mail": "a***@example.com", "orders_30d": 2,
    }  # fmt: skip
    for query in ("tag=mail&value=ana@example.com", "tag=called_from&op=gte&value=1"):
        assert (await store.client.get(f"/v1/profiles?{query}")).status_code == 422
    assert (await store.client.get("/v1/profiles?tag=orders_30d&value=2")).status_code == 200
