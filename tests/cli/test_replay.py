"""Feeding history in: days, ticks, connections, and what is asked of ingest."""

import asyncio
import json
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.cli import replay
from services.cli.replay import ReplayError, Sender, chunks, lane_of, midnight_after
from services.cli.retail import Line
from services.contracts.time import HOUR, to_micros

LONDON = ZoneInfo("Europe/London")


def line(at: str, customer: str = "7", number: int = 0) -> Line:
    return Line(
        invoice="1",
        product="p",
        description="",
        quantity=1,
        local_at=at,
        price=Decimal(1),
        customer=customer,
        country="EIRE",
        message_id=f"{at}-{customer}-{number}",
    )


def london(*when: int) -> int:
    year, month, day = when
    return to_micros(datetime(year, month, day, tzinfo=LONDON))


def test_each_day_is_a_chunk_that_ends_with_its_midnight() -> None:
    first, second = chunks([line("2011-01-03T09:00:00"), line("2011-01-04T09:00:00")])
    assert first.tick_at == (london(2011, 1, 4),)
    assert second.tick_at == tuple(london(2011, 1, day) for day in (5, 6, 7, 8))


def test_days_without_lines_tick_too() -> None:
    first, _ = chunks([line("2011-01-03T09:00:00"), line("2011-01-06T09:00:00")])
    assert first.tick_at == tuple(london(2011, 1, day) for day in (4, 5, 6))


def test_a_day_ends_at_london_midnight_in_summer() -> None:
    day = datetime(2011, 7, 1, tzinfo=LONDON).date()
    assert midnight_after(day) % (24 * HOUR) == 23 * HOUR


def test_a_large_day_is_cut_but_ticks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CHUNK_LINES_MAX", 2)
    cut = list(chunks(line("2011-01-03T09:00:00", number=n) for n in range(5)))
    assert [len(one.lines) for one in cut] == [2, 2, 1]
    assert [bool(one.tick_at) for one in cut] == [False, False, True]


def test_nothing_is_no_day() -> None:
    assert list(chunks([])) == []


class Ingest:
    """Keeps the batches it was sent, and answers what it was told to."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.batches: list[list[str]] = []
        self._answers = list(answers)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.batches.append([message["messageId"] for message in body["batch"]])
        await asyncio.sleep(0)
        return self._answers.pop(0) if self._answers else httpx.Response(200)

    def sender(self, lanes: int = 4) -> Sender:
        transport = httpx.MockTransport(self.handle)
        return Sender(url="http://ingest", write_key="k", lanes=lanes, transport=transport)


async def test_the_order_of_one_person_holds_across_batches() -> None:
    ingest = Ingest()
    lines = [line("2011-01-03T09:00:00", str(n % 7), n) for n in range(1_500)]
    done: list[int] = []
    await ingest.sender().send(lines, done.append)
    assert sum(done) == 1_500
    assert max(map(len, ingest.batches)) == replay.BATCH_EVENTS_MAX
    arrived = [message for batch in ingest.batches for message in batch]
    for person in map(str, range(7)):
        of_person = [one.message_id for one in lines if one.customer == person]
        assert [message for message in arrived if message in set(of_person)] == of_person


def test_a_person_keeps_one_connection_whatever_the_order() -> None:
    one, other = line("2011-01-03T09:00:00"), line("2011-05-03T09:00:00", number=1)
    assert lane_of(one, 4) == lane_of(other, 4)


async def test_a_busy_ingest_is_asked_again_with_the_same_batch() -> None:
    ingest = Ingest(httpx.Response(503, headers={"retry-after": "0"}), httpx.Response(429))
    await ingest.sender().send([line("2011-01-03T09:00:00")], lambda _: None)
    assert len(ingest.batches) == 3
    assert ingest.batches[0] == ingest.batches[1] == ingest.batches[2]


async def test_a_batch_of_refused_messages_has_been_answered() -> None:
    ingest = Ingest(httpx.Response(400, json={"code": "all_refused"}))
    await ingest.sender().send([line("2011-01-03T09:00:00", "")], lambda _: None)
    assert len(ingest.batches) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, text="who are you"),
        httpx.Response(400, json={"code": "bad_json"}),
        httpx.Response(500),
    ],
    ids=lambda answer: str(answer.status_code),
)
async def test_a_refused_request_ends_the_replay_with_its_answer(answer: httpx.Response) -> None:
    with pytest.raises(ReplayError, match=str(answer.status_code)):
        await Ingest(answer).sender().send([line("2011-01-03T09:00:00")], lambda _: None)


async def test_sent_at_is_the_first_time_a_message_left() -> None:
    sender = Ingest().sender()
    twice = line("2011-01-03T09:00:00")
    await sender.send([twice], lambda _: None)
    left_at = sender.sent_at[twice.message_id]
    await sender.send([twice], lambda _: None)
    assert sender.sent_at == {twice.message_id: left_at}
