"""Sensitive traits: sealed where they stand, masked where they are shown."""

import os
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.masking import MASK, SENSITIVE_TRAITS
from services.contracts.profile import Profile
from services.profile_store.api import make_app
from services.profile_store.memory import MemoryProfiles
from services.profile_store.postgres import PostgresProfiles
from services.profile_store.resealing import reseal
from services.profile_store.sensitive import SealedProfiles, Sensitive
from services.profile_store.settings import ProfileStoreSettings, sensitive_of
from services.runtime.bearer import BearerTokens
from services.runtime.health import Health
from services.runtime.metrics import Metrics
from services.runtime.sealing import Keyring, Resealed, is_sealed
from services.runtime.settings import TokenSettings
from tests.profile_store.examples import profile

TRAITS = {
    "phone": "+8613800138000",
    "email": "ada@example.com",
    "city": "Paris",
    "home": {"address": {"street": "5 Long Street"}, "floor": 3},
}


def key(name: str) -> str:
    """A key as a setting holds it."""
    return f"{name}:{b64encode(os.urandom(32)).decode()}"


def sensitive(keys: str, tokens: str = "boss") -> Sensitive:
    """What one process is told."""
    return Sensitive(SENSITIVE_TRAITS, Keyring(keys), BearerTokens(SecretStr(tokens)))


def ada(**fields: Any) -> Profile:
    """A person with an address."""
    return msgspec.structs.replace(profile(person="ada", traits=TRAITS), **fields)


async def shown(what: Sensitive, profiles: MemoryProfiles, query: str, token: str) -> Any:
    """The answer to a request for ada's profile: status and traits."""
    tokens = BearerTokens(TokenSettings(api_tokens=SecretStr("clerk,boss")))
    app = make_app(profiles, tokens, Metrics(), Health(ready={}), sensitive=what)
    client = AsyncClient(transport=ASGITransport(app), base_url="http://store")
    headers = {"Authorization": f"Bearer {token}"}
    answer = await client.get(f"/v1/profiles/ada{query}", headers=headers)
    return answer.status_code, answer.json().get("traits")


async def test_what_is_stored_is_sealed_and_what_is_shown_masked() -> None:
    what, inner = sensitive(key("k1")), MemoryProfiles()
    await SealedProfiles(inner, what).put([ada()])
    stored = inner.stored["ada"].traits
    assert is_sealed(stored["phone"])
    assert is_sealed(stored["home"]["address"])
    assert (stored["city"], stored["home"]["floor"]) == ("Paris", 3)
    assert await shown(what, inner, "", "clerk") == (
        200,
        {
            "phone": "***8000",
            "email": "a***@example.com",
            "city": "Paris",
            "home": {"address": MASK, "floor": 3},
        },
    )


async def test_only_who_may_see_them_is_shown_them() -> None:
    what, inner = sensitive(key("k1")), MemoryProfiles()
    await SealedProfiles(inner, what).put([ada()])
    assert await shown(what, inner, "?reveal=true", "boss") == (200, TRAITS)
    assert (await shown(what, inner, "?reveal=true", "clerk"))[0] == 403
    assert (await shown(what, inner, "", "boss"))[1]["phone"] == "***8000"


async def test_without_keys_they_are_masked_all_the_same() -> None:
    what, inner = sensitive(""), MemoryProfiles()
    await SealedProfiles(inner, what).put([ada()])
    assert inner.stored["ada"].traits == TRAITS
    assert (await shown(what, inner, "", "boss"))[1]["email"] == "a***@example.com"


async def test_values_of_a_key_that_is_gone_show_nothing_and_break_nothing() -> None:
    inner = MemoryProfiles()
    await SealedProfiles(inner, sensitive(key("k1"))).put([ada()])
    status, traits = await shown(sensitive(key("k2")), inner, "", "clerk")
    assert (status, traits["phone"], traits["city"]) == (200, MASK, "Paris")


async def test_a_sealed_value_opens_for_its_person_only() -> None:
    what, inner = sensitive(key("k1")), MemoryProfiles()
    await SealedProfiles(inner, what).put([ada()])
    stolen = {"phone": inner.stored["ada"].traits["phone"]}
    assert what.opened(ada(person="bob", traits=stolen)).traits == stolen
    assert what.opened(ada(traits=stolen)).traits == {"phone": "+8613800138000"}


def test_settings_say_which_and_with_what() -> None:
    settings = ProfileStoreSettings(
        sensitive_traits="phone, passport", sensitive_keys=SecretStr(key("k1"))
    )
    what = sensitive_of(settings)
    assert what.names == {"phone", "passport"}
    assert what.keys.sealing
    assert not what.may_see("anything")
    with pytest.raises(ValidationError) as refused:
        ProfileStoreSettings(sensitive_keys=SecretStr("k1:no"))
    assert "32 bytes of base64" in str(refused.value)


@pytest.mark.embedded
async def test_all_profiles_can_be_sealed_again_under_a_new_key(engine: AsyncEngine) -> None:
    old, new = key("k1"), key("k2")
    first = sensitive(old)
    stored = SealedProfiles(PostgresProfiles(engine), first)
    await stored.put([ada(), ada(person="bob"), profile("plain")])
    await PostgresProfiles(engine).put([ada(person="clear")])
    assert await reseal(engine, first) == Resealed(looked_at=4, sealed=1)
    both = sensitive(f"{new},{old}")
    assert await reseal(engine, both) == Resealed(looked_at=4, sealed=3)
    assert await reseal(engine, both) == Resealed(looked_at=4)
    alone = sensitive(new)
    for person in ("ada", "bob", "clear"):
        found = await stored.get(person)
        assert found is not None
        assert alone.opened(found).traits == TRAITS
    assert await reseal(engine, sensitive(key("k3"))) == Resealed(looked_at=4, unopened=3)
