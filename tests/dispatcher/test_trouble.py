"""Providers that fail, and what the others notice of it: over a real broker and ledger."""

import asyncio
import time

import pytest

from services.dispatcher.channels.port import Accepted, Delayed, Message, Outcome, Refused, Unknown
from services.dispatcher.rates import burst_of
from services.dispatcher.settings import DispatcherSettings
from services.runtime.metrics import Metrics
from tests.dispatcher.support import ScriptedChannel, Stage, a_command, a_send_id, until

pytestmark = pytest.mark.embedded

AWAY = Delayed(reason="status 503")


def with_settings(stage: Stage, **changes: object) -> DispatcherSettings:
    """Change the settings of dispatchers started from now on."""
    stage.settings = stage.settings.model_copy(update=changes)
    return stage.settings


async def test_a_trigger_that_prefers_twice_to_never_is_tried_again_after_silence(
    stage: Stage,
) -> None:
    def silent_once(_: Message, attempt: int) -> Outcome:
        return Unknown(reason="silence") if attempt == 1 else Accepted()

    channel = ScriptedChannel(silent_once, idempotent=False)
    await stage.produce([a_command(1, when_unknown="at_least_once"), a_command(2)])
    async with stage.dispatching({"log": channel}):
        counts = await stage.settled(2)
    assert (counts["accepted"], counts["ambiguous"]) == (1, 1)
    assert (channel.count(a_send_id(1)), channel.count(a_send_id(2))) == (2, 1)


async def test_a_trigger_that_prefers_never_to_twice_overrules_the_setting(stage: Stage) -> None:
    with_settings(stage, dispatcher_when_unknown="at_least_once")
    channel = ScriptedChannel(lambda _, __: Unknown(reason="silence"), idempotent=False)
    await stage.produce([a_command(1, when_unknown="at_most_once")])
    async with stage.dispatching({"log": channel}):
        counts = await stage.settled(1)
    assert counts["ambiguous"] == 1
    assert len(channel.sent) == 1


async def test_a_provider_that_only_fails_is_left_alone(stage: Stage) -> None:
    with_settings(stage, dispatcher_breaker_failures=5, dispatcher_breaker_seconds=60.0)
    channel = ScriptedChannel(lambda _, __: AWAY)
    await stage.produce(a_command(number) for number in range(200))
    async with stage.dispatching({"log": channel}, concurrency=4):

        async def known() -> bool:
            counts = await stage.reader.counts()
            return counts["pending"] == 200 and len(channel.sent) >= 5

        await until(known, "the open circuit")
        for _ in range(10):
            await asyncio.sleep(0.05)
    # Those under way when it opened, and no others.
    assert len(channel.sent) <= 5 + 4


async def test_a_provider_that_recovers_gets_one_probe_and_then_everything(stage: Stage) -> None:
    with_settings(stage, dispatcher_breaker_failures=3, dispatcher_breaker_seconds=0.2)
    well = asyncio.Event()
    channel = ScriptedChannel(lambda _, __: Accepted() if well.is_set() else AWAY)
    await stage.produce(a_command(number) for number in range(50))
    async with stage.dispatching({"log": channel}, concurrency=4):

        async def failing() -> bool:
            return len(channel.sent) >= 3

        await until(failing, "failures")
        well.set()
        counts = await stage.settled(50)
    assert counts["accepted"] == 50


async def test_another_provider_stands_in_while_the_first_is_out_of_order(stage: Stage) -> None:
    with_settings(
        stage,
        dispatcher_breaker_failures=5,
        dispatcher_breaker_seconds=60.0,
        dispatcher_fallbacks={"sms": "sms:backup"},
    )
    first = ScriptedChannel(lambda _, __: AWAY)
    backup = ScriptedChannel()
    await stage.produce(a_command(number, channel="sms") for number in range(60))
    async with stage.dispatching({"sms": first, "sms:backup": backup}, concurrency=4):
        counts = await stage.settled(60)
    assert counts["accepted"] == 60
    assert sorted(m.send_id for m in backup.sent) == sorted(map(a_send_id, range(60)))
    assert len(first.sent) <= 5 + 4


async def test_the_second_provider_gets_nothing_while_the_first_is_merely_busy(
    stage: Stage,
) -> None:
    with_settings(stage, dispatcher_fallbacks={"sms": "sms:backup"})

    async def slowly(_: Message, __: int) -> Outcome:
        await asyncio.sleep(0.01)
        return Accepted()

    first, backup = ScriptedChannel(slowly), ScriptedChannel()
    await stage.produce(a_command(number, channel="sms") for number in range(60))
    async with stage.dispatching({"sms": first, "sms:backup": backup}, concurrency=2):
        await stage.settled(60)
    assert backup.sent == []


async def test_what_may_have_arrived_by_one_provider_never_goes_to_another(stage: Stage) -> None:
    with_settings(
        stage,
        dispatcher_breaker_failures=2,
        dispatcher_breaker_seconds=0.2,
        dispatcher_attempts_max=100,
        dispatcher_fallbacks={"sms": "sms:backup"},
    )
    well = asyncio.Event()
    first = ScriptedChannel(
        lambda _, __: Accepted() if well.is_set() else Unknown(reason="silence"), idempotent=True
    )
    backup = ScriptedChannel()
    await stage.produce(a_command(number, channel="sms") for number in range(40))
    async with stage.dispatching({"sms": first, "sms:backup": backup}, concurrency=4):

        async def stood_in() -> bool:
            return len(backup.sent) + len({m.send_id for m in first.sent}) >= 40

        await until(stood_in, "the stand-in")
        assert backup.sent
        well.set()
        counts = await stage.settled(40)
    assert counts["accepted"] == 40
    assert {m.send_id for m in first.sent}.isdisjoint(m.send_id for m in backup.sent)


async def test_rates_hold_for_all_dispatchers_together(stage: Stage) -> None:
    rate, sends = 40.0, 100
    with_settings(stage, dispatcher_rates={"sms": rate})
    instants: list[float] = []

    def note(_: Message, __: int) -> Outcome:
        instants.append(time.monotonic())
        return Accepted()

    await stage.produce(a_command(number, channel="sms") for number in range(sends))
    async with (
        stage.dispatching({"sms": ScriptedChannel(note)}),
        stage.dispatching({"sms": ScriptedChannel(note)}),
    ):
        await stage.settled(sends)
    for first, began in enumerate(instants):
        for last in range(first, sends):
            allowed = burst_of(rate) + rate * (instants[last] - began + 0.2)
            assert last - first + 1 <= allowed


async def test_an_address_that_is_refused_again_and_again_is_spared(stage: Stage) -> None:
    with_settings(stage, dispatcher_quarantine_failures=3)
    channel = ScriptedChannel(
        lambda message, _: (
            Refused(reason="status 550", about_address=True)
            if message.to == "gone@example.com"
            else Accepted()
        )
    )
    async with stage.dispatching({"mail": channel}):
        for number in range(5):
            await stage.produce([a_command(number, channel="mail", to="gone@example.com")])
            await stage.settled(number + 1)
        await stage.produce([a_command(9, channel="mail", to="ann@example.com")])
        counts = await stage.settled(6)
    assert (counts["failed"], counts["accepted"]) == (5, 1)
    assert len(channel.sent) == 3 + 1
    letters = [letter.reason for letter in await stage.dead_letters()]
    assert letters.count("quarantined: status 550") == 2


async def latencies(stage: Stage, channel: ScriptedChannel, numbers: range) -> list[float]:
    """Seconds from the command's production to its attempt, one send after the other."""
    seconds = []
    for number in numbers:
        began = time.monotonic()
        await stage.produce([a_command(number)])

        async def sent(number: int = number) -> bool:
            return any(message.send_id == a_send_id(number) for message in channel.sent[-3:])

        await until(sent, "the send")
        seconds.append(time.monotonic() - began)
    return sorted(seconds)


async def test_a_bad_provider_delays_no_other_channel(stage: Stage) -> None:
    async def fall_silent(_: Message, __: int) -> Outcome:
        await asyncio.sleep(0.5)
        return Unknown(reason="silence")

    async def die_slowly(_: Message, attempt: int) -> Outcome:
        await asyncio.sleep(0.05)
        return AWAY

    good, metrics = ScriptedChannel(), Metrics()
    bad = {
        "webhook:silent": ScriptedChannel(fall_silent, idempotent=True),
        "webhook:away": ScriptedChannel(die_slowly),
        "webhook:refusing": ScriptedChannel(lambda _, __: Refused(reason="status 410")),
    }
    async with stage.dispatching({"log": good, **bad}, metrics=metrics, concurrency=50):
        alone = await latencies(stage, good, range(60))
        await stage.produce(
            a_command(1000 + number, channel="webhook", endpoint=queue.partition(":")[2])
            for number, queue in enumerate(list(bad) * 1000)
        )
        beside = await latencies(stage, good, range(100, 160))
        assert (await stage.reader.counts())["pending"] > 0
    # Were anything shared, they would wait for seconds: the bad ones take half a minute and more.
    assert beside[30] <= 4 * alone[30] + 0.05
    assert beside[56] <= 4 * alone[56] + 0.5


async def test_urgent_sends_do_not_wait_behind_very_many_others(stage: Stage) -> None:
    bulk = 20_000
    with_settings(stage, dispatcher_backlog_max=2_000)
    urgent_seconds: list[float] = []
    produced: dict[str, float] = {}
    bulk_sent = 0

    async def note(message: Message, _: int) -> Outcome:
        nonlocal bulk_sent
        if message.send_id in produced:
            urgent_seconds.append(time.monotonic() - produced[message.send_id])
        else:
            bulk_sent += 1
        await asyncio.sleep(0.02)
        return Accepted()

    channel = ScriptedChannel(note)
    await stage.produce(a_command(number) for number in range(bulk))
    async with stage.dispatching({"log": channel}, concurrency=10):

        async def busy() -> bool:
            return bulk_sent > 100

        await until(busy, "bulk sends")
        for number in range(bulk, bulk + 100):
            produced[a_send_id(number)] = time.monotonic()
            await stage.produce([a_command(number, lane="transactional")])
            await asyncio.sleep(0.01)

        async def all_sent() -> bool:
            return len(urgent_seconds) == 100

        await until(all_sent, "the urgent ones")
        assert bulk_sent < bulk / 2
    # The bulk takes 45 s and more: 20 ms each, nine at a time.
    assert sorted(urgent_seconds)[98] < 3.0
