"""What every channel owes the dispatcher, shown for each against its real other end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from services.dispatcher.channels.port import Accepted, Delayed, Refused, Unknown
from tests.dispatcher.counterparts import Counterpart, LogEnd, Mood, http_end, mail_end
from tests.dispatcher.providers import provider_end
from tests.dispatcher.support import a_message, a_send_id
from tests.dispatcher.wecom_ends import ENDS

PERSONAL = "ann.secret@example.com"


PROVIDERS = {kind.name: kind for kind in ENDS}


@pytest.fixture(params=["log", "webhook", "mail", *PROVIDERS])
async def end(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counterpart]:
    """Each channel with its counterpart."""
    if request.param == "log":
        log = LogEnd(tmp_path)
        yield log
        await log.channel.close()
    elif request.param == "webhook":
        async with http_end() as http:
            yield http
    elif request.param in PROVIDERS:
        async with provider_end(PROVIDERS[request.param]) as provider:
            yield provider
    else:
        async with mail_end() as mail:
            yield mail


def be(end: Counterpart, mood: Mood) -> None:
    """Put the other end in a mood it knows."""
    if mood not in end.moods:
        pytest.skip(f"this end is never {mood}")
    end.be(mood)


async def test_what_is_accepted_has_arrived_under_its_send_id(end: Counterpart) -> None:
    assert isinstance(await end.channel.send(a_message(1)), Accepted)
    assert end.received() == [a_send_id(1)]


async def test_many_sends_at_once_arrive_once_each(end: Counterpart) -> None:
    outcomes = await asyncio.gather(*(end.channel.send(a_message(n)) for n in range(20)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert sorted(end.received()) == sorted(map(a_send_id, range(20)))


async def test_a_repeated_send_carries_the_same_id(end: Counterpart) -> None:
    for _ in range(2):
        assert isinstance(await end.channel.send(a_message(1)), Accepted)
    assert end.received() == [a_send_id(1)] * 2


async def test_a_busy_end_delays_and_a_later_try_succeeds(end: Counterpart) -> None:
    be(end, "busy")
    assert isinstance(await end.channel.send(a_message(1)), Delayed)
    assert end.received() == []
    end.be("accept")
    assert isinstance(await end.channel.send(a_message(1)), Accepted)
    assert end.received() == [a_send_id(1)]


async def test_a_refusal_is_final_and_the_next_message_goes_through(end: Counterpart) -> None:
    be(end, "refuse")
    assert isinstance(await end.channel.send(a_message(1)), Refused)
    end.be("accept")
    assert isinstance(await end.channel.send(a_message(2)), Accepted)
    assert end.received() == [a_send_id(2)]


@pytest.mark.slow
async def test_silence_after_the_message_is_an_unknown_outcome(end: Counterpart) -> None:
    be(end, "silent")
    assert isinstance(await end.channel.send(a_message(1)), Unknown)
    end.be("accept")
    assert isinstance(await end.channel.send(a_message(2)), Accepted)
    assert end.received() == [a_send_id(2)]


@pytest.mark.parametrize(
    "mood", ["accept", "busy", "refuse", pytest.param("silent", marks=pytest.mark.slow)]
)
async def test_neither_logs_nor_reasons_hold_personal_data(end: Counterpart, mood: Mood) -> None:
    be(end, mood)
    message = a_message(
        1, to=PERSONAL, person=PERSONAL, subject=PERSONAL, body=PERSONAL, variables={"a": PERSONAL}
    )
    with structlog.testing.capture_logs() as lines:
        outcome = await end.channel.send(message)
    assert PERSONAL not in repr(outcome)
    assert PERSONAL not in repr(lines)


async def test_closing_twice_or_unused_is_harmless(end: Counterpart) -> None:
    await end.channel.close()
    await end.channel.close()
