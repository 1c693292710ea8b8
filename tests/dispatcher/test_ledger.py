"""The ledger's statements: who may claim, whose result counts, what is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.codec import encode_json
from services.contracts.errors import Transient
from services.contracts.time import DAY, SECOND
from services.dispatcher.commands import read_command
from services.dispatcher.ledger import Claim, Finished, Ledger, NewSend, Result
from services.dispatcher.ledger_changes import LedgerChanges
from services.dispatcher.ledger_reads import LedgerReader
from services.dispatcher.policy import SendState
from services.dispatcher.reports import delivery_of, letter_of
from services.runtime.database import make_engine
from services.runtime.process import free_port
from services.runtime.settings import DatabaseSettings
from tests.dispatcher.support import DECIDED_AT, a_command, a_send_id

pytestmark = pytest.mark.embedded

LEASE = 60 * SECOND


@pytest.fixture
async def engine(ledger_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections to an empty ledger."""
    engine = make_engine(DatabaseSettings(database_url=SecretStr(ledger_url)))
    yield engine
    await engine.dispose()


@pytest.fixture
def ledger(engine: AsyncEngine) -> Ledger:
    """A ledger whose leases last."""
    return Ledger(engine, lease_micros=LEASE)


@pytest.fixture
def impatient(engine: AsyncEngine) -> Ledger:
    """The same ledger seen by a process whose leases are over at once."""
    return Ledger(engine, lease_micros=-1)


def new(number: int, **changes: Any) -> NewSend:
    """An entry for the log channel."""
    value = encode_json(a_command(number, **changes))
    return read_command(value, partition=0, offset=number, queues={"log", "mail"})


def result(claim: Claim, state: SendState, **changes: Any) -> Result:
    """A result of a claim."""
    values: dict[str, Any] = {
        "send_id": claim.send_id,
        "attempts": claim.attempts,
        "state": state,
        "doubtful": False,
        "bound": False,
        "reason": None,
        "provider_id": None,
        "wait_micros": 0,
        "finished_at": None if state is SendState.PENDING else DECIDED_AT,
    }
    return Result(**(values | changes))


async def state_of(engine: AsyncEngine, number: int) -> str:
    """The state of one entry."""
    entry = await LedgerReader(engine).find(UUID(a_send_id(number)))
    assert entry is not None
    return entry.state


async def test_a_known_send_is_not_recorded_again(ledger: Ledger) -> None:
    assert set(await ledger.record([new(1), new(2)])) == {a_send_id(1), a_send_id(2)}
    assert set(await ledger.record([new(2), new(3)])) == {a_send_id(3)}


async def test_claims_at_the_same_time_never_overlap(ledger: Ledger) -> None:
    await ledger.record([new(number) for number in range(200)])
    rounds = await asyncio.gather(*(ledger.claim("log", "log", 30) for _ in range(9)))
    ids = [claim.send_id for claims in rounds for claim in claims]
    assert len(ids) == len(set(ids)) == 200
    assert await ledger.claim("log", "log", 30) == []


async def test_claims_go_by_lane_then_by_age_and_stay_in_their_queue(ledger: Ledger) -> None:
    await ledger.record([new(1), new(2)])
    await ledger.record([new(3, lane="high"), new(4, channel="mail", lane="transactional")])
    await ledger.record([new(5, lane="transactional")])
    claimed = [claim.send_id for claim in await ledger.claim("log", "log", 3)]
    assert claimed == [a_send_id(5), a_send_id(3), a_send_id(1)]
    assert [claim.send_id for claim in await ledger.claim("mail", "mail", 9)] == [a_send_id(4)]


async def test_a_claim_may_go_on_where_the_last_one_ended_but_urgent_sends_are_always_found(
    ledger: Ledger,
) -> None:
    await ledger.record([new(number) for number in range(1, 6)])
    first = await ledger.claim("log", "log", 2)
    ended = max(claim.bulk_since for claim in first)
    await ledger.record([new(6)])
    second = await ledger.claim("log", "log", 2, since=ended)
    assert [claim.send_id for claim in first + second] == [a_send_id(one) for one in range(1, 5)]
    await ledger.record([new(7, lane="transactional")])
    (urgent,) = await ledger.claim("log", "log", 9, since=2 * ended)
    assert (urgent.send_id, urgent.bulk_since) == (a_send_id(7), 0)
    assert len(await ledger.claim("log", "log", 9)) == 2


async def test_a_waiting_send_is_not_claimed_before_its_time(ledger: Ledger) -> None:
    await ledger.record([new(1)])
    (claim,) = await ledger.claim("log", "log", 1)
    await ledger.settle([result(claim, SendState.PENDING, wait_micros=LEASE)])
    assert await ledger.claim("log", "log", 1) == []


async def test_only_the_last_claim_may_settle(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger
) -> None:
    await ledger.record([new(1)])
    (first,) = await impatient.claim("log", "log", 1)
    (lost,) = await impatient.interrupted(10)
    assert (lost.send_id, lost.attempts) == (first.send_id, first.attempts)
    assert await ledger.settle([result(lost, SendState.PENDING)]) == {first.send_id}
    (second,) = await ledger.claim("log", "log", 1)
    assert second.attempts == 2
    for state in (SendState.FAILED, SendState.ACCEPTED, SendState.PENDING):
        assert await ledger.settle([result(first, state)]) == set()
    assert await state_of(engine, 1) == "sending"
    assert await ledger.settle([result(second, SendState.ACCEPTED)]) == {first.send_id}


async def test_a_held_lease_is_nobody_elses(ledger: Ledger) -> None:
    await ledger.record([new(1)])
    await ledger.claim("log", "log", 1)
    assert await ledger.interrupted(10) == []


async def test_a_late_acceptance_overrules_doubt_and_is_reported(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger
) -> None:
    await ledger.record([new(1)])
    (slow,) = await impatient.claim("log", "log", 1)
    (lost,) = await impatient.interrupted(10)
    await impatient.settle([result(lost, SendState.AMBIGUOUS)])
    (untold,) = await ledger.unreported(10)
    await ledger.mark_reported([untold])
    assert await ledger.settle([result(slow, SendState.FAILED)]) == set()
    assert await impatient.settle([result(slow, SendState.ACCEPTED)]) == {slow.send_id}
    assert await state_of(engine, 1) == "accepted"
    (again,) = await ledger.unreported(10)
    assert again.state is SendState.ACCEPTED


async def test_a_report_overtaken_by_a_newer_outcome_does_not_count(
    ledger: Ledger, impatient: Ledger
) -> None:
    await ledger.record([new(1)])
    (slow,) = await impatient.claim("log", "log", 1)
    await impatient.settle([result(slow, SendState.AMBIGUOUS)])
    (ambiguous,) = await impatient.unreported(10)
    await impatient.settle([result(slow, SendState.ACCEPTED)])
    await ledger.mark_reported([ambiguous])
    assert [untold.state for untold in await ledger.unreported(10)] == [SendState.ACCEPTED]


async def finish(ledger: Ledger, impatient: Ledger, number: int, state: SendState) -> Finished:
    """Bring a send to its end, reported."""
    await ledger.record([new(number)])
    (claim,) = await ledger.claim("log", "log", 1)
    await impatient.settle([result(claim, state)])
    (untold,) = await ledger.unreported(10)
    await ledger.mark_reported([untold])
    return untold


async def test_a_report_is_done_once_and_forgets_the_command(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger
) -> None:
    told = await finish(ledger, impatient, 1, SendState.FAILED)
    assert told.command == encode_json(a_command(1))
    assert await impatient.unreported(10) == []
    # Reading the command again asks for the delivery again, with nothing left for a letter.
    await ledger.record([new(1)])
    (again,) = await ledger.unreported(10)
    assert again.command is None
    assert again.finished_at == told.finished_at


async def test_reading_an_ambiguous_command_again_asks_for_nothing(
    ledger: Ledger, impatient: Ledger
) -> None:
    await finish(ledger, impatient, 1, SendState.AMBIGUOUS)
    await ledger.record([new(1)])
    assert await ledger.unreported(10) == []
    assert await ledger.claim("log", "log", 1) == []


async def test_old_reported_sends_are_forgotten_and_no_others(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger
) -> None:
    await finish(ledger, impatient, 1, SendState.ACCEPTED)
    await finish(ledger, impatient, 2, SendState.ACCEPTED)
    await ledger.record([new(3)])
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE dispatcher.sends SET read_at = read_at - :age WHERE send_id <> :young"),
            {"age": 31 * DAY, "young": a_send_id(2)},
        )
    reader = LedgerReader(engine)
    assert await reader.prune(30) == 1
    counts = await reader.counts()
    assert (counts["accepted"], counts["pending"]) == (1, 1)


async def test_a_database_that_is_away_is_transient() -> None:
    url = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing"
    engine = make_engine(DatabaseSettings(database_url=SecretStr(url)))
    with pytest.raises(Transient):
        await Ledger(engine, lease_micros=LEASE).claim("log", "log", 1)
    await engine.dispose()


async def test_a_claim_whose_acknowledgement_was_lost_is_found_by_its_own_process(
    engine: AsyncEngine, ledger: Ledger
) -> None:
    await ledger.record([new(1), new(2), new(3)])
    (held, lost) = await ledger.claim("log", "log", 2)
    await Ledger(engine, lease_micros=LEASE).claim("log", "log", 1)
    found = await ledger.mine("log", [held.send_id])
    assert [(claim.send_id, claim.attempts) for claim in found] == [(lost.send_id, 1)]


async def test_settling_again_after_a_lost_acknowledgement_is_still_ours(
    engine: AsyncEngine, ledger: Ledger
) -> None:
    await ledger.record([new(1)])
    (claim,) = await ledger.claim("log", "log", 1)
    accepted = result(claim, SendState.ACCEPTED)
    assert await ledger.settle([accepted]) == {claim.send_id}
    assert await ledger.settle([accepted]) == {claim.send_id}
    other = Ledger(engine, lease_micros=LEASE)
    assert await other.settle([accepted]) == set()


async def test_what_was_told_first_needs_no_report_and_keeps_no_command(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger
) -> None:
    made = await ledger.record([msgspec.structs.replace(new(1), provider="log")])
    claim = made[a_send_id(1)]
    assert claim is not None
    assert (claim.attempts, claim.cancelled) == (1, False)
    await ledger.settle([result(claim, SendState.ACCEPTED)], told=True)
    assert await impatient.unreported(10) == []
    entry = await LedgerReader(engine).find(UUID(a_send_id(1)))
    assert entry is not None
    assert entry.reported_at is not None


async def test_of_the_normal_lane_no_more_is_claimed_than_asked_for(ledger: Ledger) -> None:
    await ledger.record([new(1), new(2), new(3, lane="high"), new(4, lane="transactional")])
    assert await ledger.due("log", "log", 9, bulk=1) == 3
    claimed = await ledger.claim("log", "log", 9, bulk=0)
    assert {claim.send_id for claim in claimed} == {a_send_id(3), a_send_id(4)}


@pytest.mark.parametrize("state", ["delivered", "bounced"])
async def test_a_receipt_proves_that_a_send_in_doubt_was_accepted(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger, state: Literal["delivered", "bounced"]
) -> None:
    changes = LedgerChanges(engine)
    await finish(ledger, impatient, 1, SendState.AMBIGUOUS)
    assert await changes.receipt(a_send_id(1), state, reason=None, at=DECIDED_AT)
    (untold,) = await ledger.unreported(10)
    assert untold.state == state
    delivery = delivery_of(untold)
    assert delivery is not None
    assert delivery.status == "accepted"
    assert letter_of(untold, topics=("commands", "urgent")) is None
    assert (await LedgerReader(engine).counts())["accepted"] == 1


async def test_a_receipt_of_what_was_reported_is_only_noted(
    engine: AsyncEngine, ledger: Ledger, impatient: Ledger
) -> None:
    changes = LedgerChanges(engine)
    await finish(ledger, impatient, 1, SendState.ACCEPTED)
    assert await changes.receipt(a_send_id(1), "delivered", reason=None, at=None)
    assert await changes.receipt(a_send_id(1), "bounced", reason="full", at=None)
    assert not await changes.receipt(a_send_id(1), "delivered", reason=None, at=None)
    assert await state_of(engine, 1) == "bounced"
    assert await impatient.unreported(10) == []
    await finish(ledger, impatient, 2, SendState.FAILED)
    assert not await changes.receipt(a_send_id(2), "delivered", reason=None, at=None)
    assert not await changes.receipt(a_send_id(3), "delivered", reason=None, at=None)


async def test_a_send_is_found_by_the_name_its_provider_gave_it(
    engine: AsyncEngine, ledger: Ledger
) -> None:
    await ledger.record([new(1)])
    (claim,) = await ledger.claim("log", "log", 1)
    await ledger.settle([result(claim, SendState.ACCEPTED, provider_id="SM1")])
    known = await LedgerChanges(engine).of_provider("SM1", ["log"])
    assert known is not None
    assert (known.send_id, known.person) == (a_send_id(1), "person-1")
    assert await LedgerChanges(engine).of_provider("SM1", ["mail"]) is None
