"""What every memory of bad addresses owes the lanes: the fake one and the real one."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.dispatcher.addresses import (
    Addresses,
    MemoryAddresses,
    PostgresAddresses,
    Quarantine,
    digest_of,
)
from services.runtime.database import make_engine
from services.runtime.settings import DatabaseSettings
from tests.dispatcher.support import migrate_ledger

QUARANTINE = Quarantine(failures=3, days=30)
ANN, BOB = digest_of("mail", "ann@example.com"), digest_of("mail", "bob@example.com")


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
async def addresses(request: pytest.FixtureRequest) -> AsyncIterator[Addresses]:
    """An empty memory."""
    if request.param == "memory":
        yield MemoryAddresses(QUARANTINE)
        return
    url = request.getfixturevalue("database_url")
    await migrate_ledger(url)
    engine = make_engine(DatabaseSettings(database_url=SecretStr(url)))
    yield PostgresAddresses(engine, QUARANTINE)
    await engine.dispose()


async def refuse(addresses: Addresses, digest: bytes) -> int:
    """One refusal."""
    return await addresses.note(channel="mail", refused={digest: "status 550"}, accepted=())


async def test_an_address_refused_again_and_again_is_kept_out(addresses: Addresses) -> None:
    assert await refuse(addresses, ANN) == 0
    assert await refuse(addresses, ANN) == 0
    assert await addresses.blocked([ANN, BOB]) == {}
    assert await refuse(addresses, ANN) == 1
    assert await addresses.blocked([ANN, BOB]) == {ANN: "status 550"}


async def test_an_acceptance_between_starts_the_count_again(addresses: Addresses) -> None:
    await refuse(addresses, ANN)
    await refuse(addresses, ANN)
    await addresses.note(channel="mail", refused={}, accepted=[ANN, BOB])
    await refuse(addresses, ANN)
    assert await addresses.blocked([ANN]) == {}


async def test_a_bounce_keeps_out_at_once_and_people_can_let_in_again(
    addresses: Addresses,
) -> None:
    await addresses.block("mail", ANN, "bounced")
    assert await addresses.blocked([ANN]) == {ANN: "bounced"}
    await addresses.note(channel="mail", refused={}, accepted=[ANN])
    assert await addresses.blocked([ANN]) == {ANN: "bounced"}
    await addresses.release(ANN)
    assert await addresses.blocked([ANN]) == {}
    assert await refuse(addresses, ANN) == 0


def test_the_same_address_on_another_channel_is_another() -> None:
    assert digest_of("sms", "ann@example.com") != ANN
    assert b"ann" not in ANN


@pytest.mark.embedded
async def test_a_block_ends_with_its_time_and_is_forgotten(ledger_url: str) -> None:
    engine = make_engine(DatabaseSettings(database_url=SecretStr(ledger_url)))
    addresses = PostgresAddresses(engine, QUARANTINE)
    await addresses.block("mail", ANN, "bounced")
    assert await addresses.prune() == 0
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE dispatcher.addresses SET blocked_until = 1"))
    assert await addresses.blocked([ANN]) == {}
    # It has to be refused as often as any other before it is kept out again.
    for times in (0, 0, 1):
        assert await refuse(addresses, ANN) == times
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE dispatcher.addresses SET blocked_until = 1"))
    assert await addresses.prune() == 1
    await engine.dispose()
