"""The same job without the batch path, to compare with: run as child processes of the bench.

`ordinary`: what the Faust documentation teaches. One agent, one event at a time, a Table
write and an awaited send each. It keeps decoded states in a dict, which favours it.
`bare`: no Faust at all. aiokafka's `getmany`, the engine, hand-built batches out, commit. It
does not recover, rebalance, roll back or check keys: an upper bound, not an alternative.

Both print `COUNT <events> <perf_counter>` lines, from which the bench takes the steady state.
"""

import argparse
import asyncio
import time
from collections.abc import Iterable
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.contracts.codec import decode_pack, encode_json
from services.contracts.event import Event
from services.contracts.segment import parse_message
from services.contracts.topics import RECORD_BYTES_MAX
from services.triggers.engine import (
    Outputs,
    PersonState,
    compile_rules,
    decide,
    encode_state,
    new_state,
)
from tests.benchmarks.workload import bundle

REPORT_EVERY_EVENTS = 200
MICROS_A_MILLISECOND = 1_000


class Report:
    """Counts events and says so on standard output now and then."""

    def __init__(self) -> None:
        self.count = 0
        self._next = 0

    def add(self, events: int) -> None:
        self.count += events
        if self.count >= self._next:
            self._next = self.count + REPORT_EVERY_EVENTS
            print(f"COUNT {self.count} {time.perf_counter()}", flush=True)


def run_ordinary(broker: str, prefix: str, partitions: int) -> None:
    """One event at a time through a stock Faust agent and Table."""
    app = faust.App(
        f"{prefix}ordinary",
        broker=f"kafka://{broker}",
        store="memory://",
        topic_partitions=partitions,
        topic_replication_factor=1,
        web_enabled=False,
        value_serializer="raw",
        key_serializer="raw",
        stream_wait_empty=False,
        producer_acks=-1,
    )
    events = app.topic(f"{prefix}events", partitions=partitions, key_type=bytes, value_type=bytes)
    commands = app.topic(f"{prefix}commands", partitions=partitions)
    decisions = app.topic(f"{prefix}decisions", partitions=partitions)
    profiles = app.topic(f"{prefix}profiles", partitions=partitions)
    table = app.Table("state", key_type=bytes, value_type=bytes, partitions=partitions)
    rules = compile_rules(bundle())
    states: dict[str, PersonState] = {}
    report = Report()

    async def fold(stream: Any) -> None:
        async for record in stream.events():
            message = record.message
            event = parse_message(message.value, received_at=int(message.timestamp * 1_000_000))
            state = states.get(event.person)
            if state is None:
                state = states[event.person] = new_state(event.person)
            out = Outputs()
            decide(state, event, rules, max(state.now, event.received_at), out)
            key = event.person.encode()
            table[key] = encode_state(state)
            for command in out.commands:
                await commands.send(key=key, value=encode_json(command))
            for decision in out.decisions:
                await decisions.send(key=key, value=encode_json(decision))
            for profile in out.profiles:
                await profiles.send(key=key, value=encode_json(profile))
            report.add(1)

    app.agent(events)(fold)
    app.Worker(loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, items: Iterable[tuple[bytes, bytes]]
) -> list[Any]:
    futures = []
    batch = producer.create_batch()
    for key, value in items:
        if batch.append(key=key, value=value, timestamp=None) is None:
            futures.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    if batch.record_count():
        futures.append(await producer.send_batch(batch, topic, partition=partition))
    return futures


async def run_bare(broker: str, prefix: str, partitions: int, fetch_wait_ms: int) -> None:
    """aiokafka and the engine, nothing between."""
    rules = compile_rules(bundle())
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        group_id=f"{prefix}bare",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=fetch_wait_ms,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, acks="all", max_batch_size=RECORD_BYTES_MAX
    )
    await consumer.start()
    await producer.start()
    topic = f"{prefix}events"
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    await consumer.seek_to_beginning()
    states: list[dict[str, PersonState]] = [{} for _ in range(partitions)]
    report = Report()
    while True:
        for place, records in (await consumer.getmany(timeout_ms=100)).items():
            out, dirty, count = Outputs(), {}, 0
            people = states[place.partition]
            for record in records:
                events: list[Event] = (
                    decode_pack(record.value)
                    if record.headers
                    else [
                        parse_message(
                            record.value, received_at=record.timestamp * MICROS_A_MILLISECOND
                        )
                    ]
                )
                count += len(events)
                for event in events:
                    person = event.person
                    state = people.get(person)
                    if state is None:
                        state = people[person] = new_state(person)
                    decide(state, event, rules, max(state.now, event.received_at), out)
                    dirty[person] = state
            for name, values in (
                ("commands", out.commands),
                ("decisions", out.decisions),
                ("profiles", out.profiles),
            ):
                pairs = [(value.person.encode(), encode_json(value)) for value in values]
                futures = await _send(producer, f"{prefix}{name}", place.partition, pairs)
                if futures:
                    await asyncio.gather(*futures)
            changed = [(person.encode(), encode_state(state)) for person, state in dirty.items()]
            await asyncio.gather(
                *await _send(producer, f"{prefix}bare-changelog", place.partition, changed)
            )
            await consumer.commit({place: records[-1].offset + 1})
            report.add(count)


def main() -> None:
    """Run one rival until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rival", choices=("ordinary", "bare"))
    parser.add_argument("--broker", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--fetch-wait-ms", type=int, default=20)
    arguments, rest = parser.parse_known_args()
    if arguments.rival == "bare":
        asyncio.run(
            run_bare(
                arguments.broker, arguments.prefix, arguments.partitions, arguments.fetch_wait_ms
            )
        )
    else:
        import sys

        sys.argv[1:] = [*rest, "worker"]
        run_ordinary(arguments.broker, arguments.prefix, arguments.partitions)


if __name__ == "__main__":
    main()
