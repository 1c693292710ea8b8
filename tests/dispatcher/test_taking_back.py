"""Cancels, deadlines, quiet hours and replays: what happens to a send before and after it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from services.contracts.codec import encode_json
from services.contracts.command import Cancel, NotBetween
from services.contracts.time import SECOND
from services.contracts.topics import KIND_REPLAY
from services.dispatcher.channels.port import Accepted, Delayed, Message, Outcome, Refused, Unknown
from tests.dispatcher.support import (
    DECIDED_AT,
    ScriptedChannel,
    Stage,
    a_command,
    a_send_id,
    until,
)

pytestmark = pytest.mark.embedded

LATER = Delayed(reason="busy", retry_after_seconds=3600)


def a_cancel(number: int, **names: str) -> Cancel:
    """Takes the run of this command back, or what `names` say."""
    names = names or {"run_id": a_command(number).run_id}
    return Cancel(person=f"person-{number}", decided_at=DECIDED_AT, **names)  # type: ignore[arg-type]


async def waiting(stage: Stage, channel: ScriptedChannel, number: int) -> None:
    """Until so many sends have been attempted and wait."""

    async def all_wait() -> bool:
        counts = await stage.reader.counts()
        return len(channel.sent) >= number and counts["pending"] == number

    await until(all_wait, f"{number} waiting sends")


async def test_a_cancel_ends_what_waits_for_another_attempt(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: LATER)
    await stage.produce(a_command(number) for number in (1, 2, 3))
    async with stage.dispatching({"log": channel}):
        await waiting(stage, channel, 3)
        await stage.produce([a_cancel(1), a_cancel(2, send_id=a_send_id(2))])
        counts = await stage.settled(2)
    assert (counts["failed"], counts["pending"]) == (2, 1)
    told = {delivery.send_id: delivery for delivery in await stage.deliveries()}
    assert told.keys() == {a_send_id(1), a_send_id(2)}
    assert {(one.status, one.reason) for one in told.values()} == {("failed", "cancelled")}
    # Nobody has to look at what was taken back on purpose.
    assert await stage.dead_letters() == []


async def test_a_cancel_wins_over_a_command_that_comes_after_it(stage: Stage) -> None:
    channel = ScriptedChannel()
    async with stage.dispatching({"log": channel}):
        await stage.produce([a_cancel(1)])

        async def known() -> bool:
            async with stage.engine.connect() as connection:
                rows = await connection.exec_driver_sql("SELECT id FROM dispatcher.cancels")
                return bool(rows.all())

        await until(known, "the cancel")
        await stage.produce([a_command(1), a_command(2)])
        counts = await stage.settled(2)
    assert (counts["failed"], counts["accepted"]) == (1, 1)
    assert [message.send_id for message in channel.sent] == [a_send_id(2)]


async def test_a_cancel_during_an_attempt_lets_it_be_the_last(stage: Stage) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: Message, __: int) -> Outcome:
        begun.set()
        await go_on.wait()
        return Delayed(reason="busy")

    channel = ScriptedChannel(wait)
    await stage.produce([a_command(1)])
    async with stage.dispatching({"log": channel}):
        await begun.wait()
        await stage.produce([a_cancel(1)])

        async def known() -> bool:
            async with stage.engine.connect() as connection:
                rows = await connection.exec_driver_sql("SELECT id FROM dispatcher.cancels")
                return bool(rows.all())

        await until(known, "the cancel")
        go_on.set()
        counts = await stage.settled(1)
    assert counts["failed"] == 1
    assert len(channel.sent) == 1


async def test_a_cancel_of_what_was_accepted_changes_nothing(stage: Stage) -> None:
    async with stage.dispatching({"log": ScriptedChannel()}):
        await stage.produce([a_command(1)])
        await stage.settled(1)
        await stage.produce([a_cancel(1), a_cancel(1), a_command(2)])
        counts = await stage.settled(2)
    assert counts["accepted"] == 2


async def test_a_cancelled_send_in_doubt_is_ambiguous_and_releases_no_cap(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: Unknown(reason="silence"), idempotent=True)
    stage.settings = stage.settings.model_copy(
        update={"dispatcher_retry_first_seconds": 600.0, "dispatcher_retry_max_seconds": 600.0}
    )
    await stage.produce([a_command(1)])
    async with stage.dispatching({"log": channel}):
        await waiting(stage, channel, 1)
        await stage.produce([a_cancel(1)])
        counts = await stage.settled(1)
    assert counts["ambiguous"] == 1
    assert await stage.deliveries() == []


async def test_cancels_overtake_commands_that_still_wait_in_kafka(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(
        update={"dispatcher_backlog_max": 30, "dispatcher_intake_max": 10}
    )
    ready = asyncio.Event()

    async def wait(_: Message, __: int) -> Outcome:
        await ready.wait()
        return Accepted()

    channel = ScriptedChannel(wait)
    await stage.produce(a_command(number) for number in range(100))
    async with stage.dispatching({"log": channel}, concurrency=1):

        async def begun() -> bool:
            return bool(channel.sent)

        await until(begun, "the first attempt")
        await stage.produce(a_cancel(number) for number in range(100))

        async def known() -> bool:
            async with stage.engine.connect() as connection:
                rows = await connection.exec_driver_sql("SELECT id FROM dispatcher.cancels")
                return len(rows.all()) == 100

        await until(known, "the cancels")
        ready.set()
        counts = await stage.settled(100)
    assert counts["accepted"] == len(channel.sent) == 1
    assert counts["failed"] == 99


async def test_malformed_cancels_are_dead_letters(stage: Stage) -> None:
    async with stage.dispatching({"log": ScriptedChannel()}):
        await stage.produce([a_cancel(1, run_id="no-uuid"), a_command(1)])
        await stage.settled(1)

        async def buried() -> bool:
            return [letter.code for letter in await stage.dead_letters()] == ["bad_cancel"]

        await until(buried, "the dead letter")


async def test_what_expires_while_it_waits_fails_without_another_attempt(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: LATER)
    # Late enough for the first attempt on a busy machine.
    soon = time.time_ns() // 1000 + 6 * SECOND
    await stage.produce([a_command(1, expires_at=soon), a_command(2)])
    async with stage.dispatching({"log": channel}):
        counts = await stage.settled(1)
    assert (counts["failed"], counts["pending"]) == (1, 1)
    (delivery,) = await stage.deliveries()
    assert (delivery.send_id, delivery.reason) == (a_send_id(1), "expired")
    assert delivery.received_at >= soon
    assert channel.count(a_send_id(1)) == 1
    assert [letter.code for letter in await stage.dead_letters()] == ["expired"]


async def test_quiet_hours_hold_an_attempt_that_comes_too_late(stage: Stage) -> None:
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=1), now + timedelta(hours=2)
    quiet = NotBetween(start=f"{start:%H:%M}", end=f"{end:%H:%M}", zone="UTC")
    channel = ScriptedChannel()
    await stage.produce([a_command(1, not_between=(quiet,)), a_command(2)])
    async with stage.dispatching({"log": channel}):
        await stage.settled(1)

        async def held() -> bool:
            (entry,) = await stage.reader.of_person("person-1")
            return entry.state == "pending" and entry.reason == "quiet_hours"

        await until(held, "the hold")
    (entry,) = await stage.reader.of_person("person-1")
    assert entry.next_attempt_at is not None
    assert timedelta(minutes=118).total_seconds() < entry.next_attempt_at / SECOND - time.time()
    assert [message.send_id for message in channel.sent] == [a_send_id(2)]


async def test_a_replayed_failure_is_attempted_anew_and_an_acceptance_is_not(
    stage: Stage,
) -> None:
    well = asyncio.Event()
    channel = ScriptedChannel(
        lambda _, __: Accepted() if well.is_set() else Delayed(reason="status 500")
    )
    accepted = ScriptedChannel()
    commands = [a_command(1), a_command(2, channel="mail")]
    async with stage.dispatching({"log": channel, "mail": accepted}):
        await stage.produce(commands)
        counts = await stage.settled(2)
        assert (counts["failed"], counts["accepted"]) == (1, 1)
        well.set()
        await stage.produce(map(encode_json, commands), kind=KIND_REPLAY)

        async def both() -> bool:
            counts = await stage.reader.counts()
            return counts["accepted"] == 2 and counts["unreported"] == 0

        await until(both, "the replay")
        # Replaying once more changes nothing.
        await stage.produce(map(encode_json, commands), kind=KIND_REPLAY)
        await stage.produce([a_command(3)])
        await stage.settled(3)
    attempts = stage.settings.dispatcher_attempts_max
    assert channel.count(a_send_id(1)) == attempts + 1
    assert accepted.count(a_send_id(2)) == 1
    statuses = [d.status for d in await stage.deliveries() if d.send_id == a_send_id(1)]
    assert statuses[:2] == ["failed", "accepted"]
    assert set(statuses[2:]) <= {"accepted"}


async def test_a_replay_has_as_many_attempts_as_the_first_time(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"dispatcher_attempts_max": 3})
    channel = ScriptedChannel(lambda _, __: Delayed(reason="status 500"))
    async with stage.dispatching({"log": channel}):
        await stage.produce([a_command(1)])
        await stage.settled(1)
        await stage.produce([encode_json(a_command(1))], kind=KIND_REPLAY)

        async def again() -> bool:
            return channel.count(a_send_id(1)) == 6

        await until(again, "the replay")
        await stage.settled(1)
    assert len(channel.sent) == 6
    assert len(await stage.dead_letters()) == 2


async def test_a_replayed_cancelled_send_stays_cancelled(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: Refused(reason="status 410"))
    async with stage.dispatching({"log": channel}):
        await stage.produce([a_command(1)])
        await stage.settled(1)
        await stage.produce([a_cancel(1)])
        await stage.produce([encode_json(a_command(1, lane="high"))], kind=KIND_REPLAY)

        async def ended() -> bool:
            (entry,) = await stage.reader.of_person("person-1")
            return entry.reason == "cancelled" and entry.reported_at is not None

        await until(ended, "the end")
    assert len(channel.sent) == 1
