"""The dispatcher over a real broker and a real ledger."""

import asyncio

import pytest

from services.contracts.codec import encode_json
from services.contracts.metrics import DEAD_LETTERS, LEDGER
from services.dispatcher.channels.port import (
    Accepted,
    Delayed,
    Message,
    Outcome,
    Refused,
    Unknown,
)
from services.runtime.metrics import Metrics
from tests.dispatcher.support import ScriptedChannel, Stage, a_command, a_send_id, until

pytestmark = pytest.mark.embedded


async def test_every_command_has_its_effect_and_its_delivery_once(stage: Stage) -> None:
    channel = ScriptedChannel()
    await stage.produce(a_command(number) for number in range(300))
    async with stage.dispatching({"log": channel}):
        counts = await stage.settled(300)
    assert counts["accepted"] == 300
    assert sorted(message.send_id for message in channel.sent) == sorted(map(a_send_id, range(300)))
    assert channel.sent[0].subject == "Hi Ann"
    deliveries = await stage.deliveries()
    assert {delivery.send_id for delivery in deliveries} == set(map(a_send_id, range(300)))
    assert {delivery.status for delivery in deliveries} == {"accepted"}
    assert len(deliveries) == 300
    assert await stage.committed() == 300


async def test_a_redelivered_command_is_answered_again_but_not_sent_again(stage: Stage) -> None:
    channel = ScriptedChannel()
    async with stage.dispatching({"log": channel}):
        await stage.produce([a_command(1), a_command(1)])
        await stage.settled(1)
        await stage.produce([a_command(1), a_command(2)])

        async def answered_twice() -> bool:
            return [d.send_id for d in await stage.deliveries()].count(a_send_id(1)) >= 2

        await until(answered_twice, "the second answer")
        await stage.settled(2)
    assert channel.count(a_send_id(1)) == 1
    assert channel.count(a_send_id(2)) == 1
    first, again = (d for d in await stage.deliveries() if d.send_id == a_send_id(1))
    assert first == again


async def test_two_dispatchers_share_the_work_and_send_nothing_twice(stage: Stage) -> None:
    async def slowly(_: Message, __: int) -> Outcome:
        await asyncio.sleep(0.002)
        return Accepted()

    one, other = ScriptedChannel(slowly), ScriptedChannel(slowly)
    async with (
        stage.dispatching({"log": one}, concurrency=10),
        stage.dispatching({"log": other}, concurrency=10),
    ):
        await stage.produce(a_command(number) for number in range(400))
        await stage.settled(400)
    sent = [message.send_id for message in [*one.sent, *other.sent]]
    assert len(sent) == len(set(sent)) == 400
    assert one.sent
    assert other.sent


async def test_a_failing_provider_is_tried_again_until_it_accepts(stage: Stage) -> None:
    def third_time(_: Message, attempt: int) -> Outcome:
        return Accepted() if attempt == 3 else Delayed(reason="status 503")

    channel = ScriptedChannel(third_time)
    await stage.produce([a_command(1)])
    async with stage.dispatching({"log": channel}):
        await stage.settled(1)
    (delivery,) = await stage.deliveries()
    assert (delivery.status, delivery.attempts) == ("accepted", 3)
    assert await stage.dead_letters() == []


async def test_what_is_refused_or_exhausted_fails_with_a_dead_letter_of_the_whole_command(
    stage: Stage,
) -> None:
    def by_number(message: Message, _: int) -> Outcome:
        if message.send_id == a_send_id(1):
            return Refused(reason="status 410")
        return Delayed(reason="status 500")

    channel, metrics = ScriptedChannel(by_number), Metrics()
    commands = [a_command(1), a_command(2)]
    await stage.produce(commands)
    async with stage.dispatching({"log": channel}, metrics=metrics):
        counts = await stage.settled(2)
    assert counts["failed"] == 2
    assert channel.count(a_send_id(1)) == 1
    assert channel.count(a_send_id(2)) == stage.settings.dispatcher_attempts_max
    letters = {letter.code: letter for letter in await stage.dead_letters()}
    assert letters["refused"].reason == "status 410"
    assert letters["refused"].value == encode_json(commands[0])
    assert letters["refused"].key == b"person-1"
    assert letters["refused"].topic.endswith("commands")
    assert letters["exhausted"].reason == "exhausted: status 500"
    assert letters["exhausted"].value == encode_json(commands[1])
    assert {delivery.status for delivery in await stage.deliveries()} == {"failed"}
    letter_count = metrics.counter(DEAD_LETTERS).labels(origin="dispatcher", code="refused")
    assert letter_count._value.get() == 1


async def test_malformed_records_become_dead_letters_and_the_partition_goes_on(
    stage: Stage,
) -> None:
    channel = ScriptedChannel()
    bad = [b"{", b"[]", None, b"\xff", b"[" * 5000]
    bad += [encode_json(a_command(9, send_id="no-uuid")), encode_json(a_command(9, v=2))]
    bad += [encode_json(a_command(9, person="a\0b")), encode_json(a_command(9, decided_at=-1))]
    await stage.produce([*bad, a_command(1)])
    async with stage.dispatching({"log": channel}):
        await stage.settled(1)

        async def all_there() -> bool:
            return len(await stage.dead_letters()) == len(bad)

        await until(all_there, "the dead letters")
    letters = await stage.dead_letters()
    assert sorted(letter.value or b"" for letter in letters) == sorted(x or b"" for x in bad)
    assert {letter.code for letter in letters} == {"bad_command", "newer_schema"}
    assert [message.send_id for message in channel.sent] == [a_send_id(1)]


async def test_a_channel_that_no_setting_names_fails_by_name(stage: Stage) -> None:
    await stage.produce(
        [a_command(1, channel="pigeon"), a_command(2, channel="webhook", endpoint="crm")]
    )
    async with stage.dispatching({"log": ScriptedChannel()}):
        await stage.settled(2)
    assert {letter.code for letter in await stage.dead_letters()} == {"unknown_channel"}
    assert {delivery.status for delivery in await stage.deliveries()} == {"failed"}


async def test_sends_waiting_for_an_endpoint_that_is_gone_fail_at_the_next_start(
    stage: Stage,
) -> None:
    always = ScriptedChannel(lambda _, __: Delayed(reason="down", retry_after_seconds=3600))
    await stage.produce([a_command(1, channel="webhook", endpoint="crm")])
    async with stage.dispatching({"webhook:crm": always}):

        async def waits() -> bool:
            return (await stage.reader.counts())["pending"] == 1 and bool(always.sent)

        await until(waits, "the first attempt")
    async with stage.dispatching({"log": ScriptedChannel()}):
        counts = await stage.settled(1)
    assert counts["failed"] == 1
    assert [letter.code for letter in await stage.dead_letters()] == ["unknown_channel"]


async def test_retry_after_puts_the_next_attempt_off(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: Delayed(reason="busy", retry_after_seconds=100))
    await stage.produce([a_command(1)])
    async with stage.dispatching({"log": channel}):

        async def waits() -> bool:
            entries = await stage.reader.of_person("person-1")
            return bool(entries) and entries[0].attempts == 1 and entries[0].state == "pending"

        await until(waits, "the first attempt")
    (entry,) = await stage.reader.of_person("person-1")
    assert entry.next_attempt_at is not None
    assert entry.next_attempt_at - entry.read_at >= 100_000_000
    assert entry.reason == "busy"


async def test_a_slow_channel_delays_nobody_else(stage: Stage) -> None:
    blocked = asyncio.Event()

    async def wait(_: Message, __: int) -> Outcome:
        await blocked.wait()
        return Accepted()

    slow, fast = ScriptedChannel(wait), ScriptedChannel()
    await stage.produce(a_command(n, channel="webhook", endpoint="slow") for n in range(50))
    await stage.produce(a_command(n) for n in range(100, 200))
    async with stage.dispatching({"webhook:slow": slow, "log": fast}, concurrency=10):
        counts = await stage.settled(100)
        # One place in ten is kept for what is urgent.
        assert slow.under_way_most == 9
        assert counts["sending"] == 9
        assert await stage.committed() == 150
        blocked.set()
        await stage.settled(150)
    assert slow.under_way_most == 9


async def test_transactional_and_high_lanes_go_before_what_waits_longer(stage: Stage) -> None:
    ready = asyncio.Event()

    async def wait(_: Message, __: int) -> Outcome:
        await ready.wait()
        return Accepted()

    channel = ScriptedChannel(wait)
    async with stage.dispatching({"log": channel}, concurrency=1):
        await stage.produce(a_command(number) for number in range(5))
        await stage.produce([a_command(10, lane="high"), a_command(11, lane="transactional")])

        async def all_recorded() -> bool:
            counts = await stage.reader.counts()
            return counts["pending"] + counts["sending"] == 7 and bool(channel.sent)

        await until(all_recorded, "all in the ledger")
        ready.set()
        await stage.settled(7)
    order = [message.send_id for message in channel.sent]
    # One may have been under way already when the others came: a bulk one, or one of the urgent.
    urgent = [a_send_id(11), a_send_id(10)]
    assert order[1:3] == urgent or sorted(order[:2]) == sorted(urgent)


async def test_an_expired_command_is_not_sent(stage: Stage) -> None:
    channel = ScriptedChannel()
    await stage.produce([a_command(1, expires_at=a_command(1).decided_at + 1)])
    async with stage.dispatching({"log": channel}):
        await stage.settled(1)
    assert channel.sent == []
    assert [letter.code for letter in await stage.dead_letters()] == ["expired"]
    (delivery,) = await stage.deliveries()
    assert (delivery.status, delivery.reason) == ("failed", "expired")


async def test_a_replay_expires_nothing_and_stamps_deliveries_with_the_decision(
    stage: Stage,
) -> None:
    stage.settings = stage.settings.model_copy(update={"clock": "replay"})
    channel = ScriptedChannel()
    await stage.produce([a_command(1, expires_at=a_command(1).decided_at + 1)])
    async with stage.dispatching({"log": channel}):
        await stage.settled(1)
    (delivery,) = await stage.deliveries()
    assert delivery.status == "accepted"
    assert delivery.received_at == a_command(1).decided_at


async def test_a_template_that_misses_a_value_fails_without_an_attempt(stage: Stage) -> None:
    channel = ScriptedChannel()
    await stage.produce([a_command(1, variables={"name": "Ann"})])
    async with stage.dispatching({"log": channel}):
        await stage.settled(1)
    (letter,) = await stage.dead_letters()
    assert letter.code == "template_error"
    assert letter.reason == "template_error: 'number' is undefined"
    assert channel.sent == []


async def test_an_unknown_outcome_is_ambiguous_and_releases_no_cap(stage: Stage) -> None:
    channel = ScriptedChannel(lambda _, __: Unknown(reason="silence"), idempotent=False)
    await stage.produce([a_command(1)])
    async with stage.dispatching({"log": channel}):
        counts = await stage.settled(1)
    assert counts["ambiguous"] == 1
    assert len(channel.sent) == 1
    assert await stage.deliveries() == []
    assert [letter.code for letter in await stage.dead_letters()] == ["ambiguous"]


async def test_a_full_ledger_leaves_the_rest_in_kafka(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(
        update={"dispatcher_backlog_max": 20, "dispatcher_intake_max": 10}
    )
    ready = asyncio.Event()

    async def wait(_: Message, __: int) -> Outcome:
        await ready.wait()
        return Accepted()

    await stage.produce(a_command(number) for number in range(100))
    async with stage.dispatching({"log": ScriptedChannel(wait)}, concurrency=1) as dispatcher:

        async def full() -> bool:
            return dispatcher.housekeeping.backlog >= 20

        await until(full, "a full ledger")
        for _ in range(20):
            await dispatcher.housekeeping.round()
        counts = await stage.reader.counts()
        assert counts["pending"] + counts["sending"] <= 20 + 10
        ready.set()
        await stage.settled(100)
    assert await stage.committed() == 100


async def test_the_ledger_keeps_no_content_once_a_send_is_reported(stage: Stage) -> None:
    metrics = Metrics()
    await stage.produce([a_command(1)])
    async with stage.dispatching({"log": ScriptedChannel()}, metrics=metrics) as dispatcher:
        await stage.settled(1)
        accepted = metrics.gauge(LEDGER).labels(state="accepted")

        async def counted() -> bool:
            await dispatcher.housekeeping.round()
            return bool(accepted._value.get() == 1)

        await until(counted, "the count")
    async with stage.engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT command FROM dispatcher.sends")
        assert [row[0] for row in rows] == [None]


async def test_a_bug_in_a_channel_stops_the_process_and_the_send_stays_claimed(
    stage: Stage,
) -> None:
    def fail(_: Message, __: int) -> Outcome:
        raise ZeroDivisionError

    async def crash() -> None:
        async with stage.dispatching({"log": ScriptedChannel(fail)}):
            await until(claimed, "the claim")

    async def claimed() -> bool:
        return (await stage.reader.counts())["sending"] == 1

    await stage.produce([a_command(1)])
    with pytest.raises(ExceptionGroup) as caught:
        await crash()
    assert caught.group_contains(ZeroDivisionError)
    assert (await stage.reader.counts())["sending"] == 1
