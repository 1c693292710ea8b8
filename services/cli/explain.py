"""`cuestream explain`: why one person did or did not get one trigger, from the topics."""

from collections import deque
from typing import Annotated, Final

import msgspec
import typer
from rich.text import Text

from services.cli import console
from services.cli.backtest_rules import compiled, read_topic_bundle
from services.cli.topics import ends_of, partitions_of, read_topic
from services.contracts.codec import decode_json
from services.contracts.decision import Decision
from services.contracts.errors import CuestreamError, Malformed
from services.contracts.event import Event
from services.contracts.time import Micros
from services.contracts.topics import DECISIONS, EVENTS, KIND_EVENT, KIND_PACK, Topic
from services.runtime.clock import WallClock
from services.runtime.kafka import partition_of
from services.runtime.settings import KafkaSettings, load
from services.triggers.engine import PersonState, decode_state
from services.triggers.engine.explain import Explanation, explain
from services.triggers.worker.reading import kind_of, read_event, read_pack

CHANGELOG: Final = Topic(name="triggers-state-changelog", keyed_by="person", compacted=True)
"""Faust's name for the worker's states: group, table, `changelog`."""
READ_SECONDS_MAX: Final = 300.0
EVENTS_KEPT: Final = 20
MERGES_FOLLOWED_MAX: Final = 8
RECORDS_BACK: Final = 20_000
RECORDS_BACK_MAX: Final = 10_000_000


async def explain_from_topics(
    settings: KafkaSettings,
    person: str,
    trigger: str,
    *,
    now: Micros,
    records_back: int = RECORDS_BACK,
    step: int | None = None,
) -> Explanation:
    """Read what stands on the person's partition, and explain it under the newest definitions.

    Of somebody merged into another that one is explained, with what was decided and happened
    under the old id too. Of `events` only the last `records_back` records are read.

    Raises:
        Transient: the broker fails or lacks a topic.
        CuestreamError: nobody knows the person, or the definitions cannot be read.
    """
    partitions = await partitions_of(settings, EVENTS)
    settings = settings.model_copy(update={"partitions": partitions})
    rules = compiled(await read_topic_bundle(settings), settings.workspace)
    decisions: list[Decision] = []
    events: list[Event] = []
    for followed in range(1 + MERGES_FOLLOWED_MAX):
        partition = partition_of(person.encode(), partitions)
        state = await _state(settings, person, partition)
        decisions += await _decisions(settings, person, partition)
        events += await _events(settings, person, partition, records_back)
        if state.merged_into is None or followed == MERGES_FOLLOWED_MAX:
            break
        person = state.merged_into
    decisions.sort(key=lambda one: one.now)
    events.sort(key=lambda one: one.received_at)
    return explain(state, trigger, rules, decisions, now, events, step=step)


async def _state(settings: KafkaSettings, person: str, partition: int) -> PersonState:
    key, newest = person.encode(), None
    async for record in read_topic(
        settings, CHANGELOG, timeout_seconds=READ_SECONDS_MAX, partition=partition
    ):
        if record.key == key:
            newest = record.value
    if newest is None:
        raise CuestreamError(f"nothing is known of this person (partition {partition})")
    try:
        return decode_state(newest)
    except Malformed as error:
        raise CuestreamError(f"the person's state: {error.message}") from error


async def _decisions(settings: KafkaSettings, person: str, partition: int) -> list[Decision]:
    key, decoder = person.encode(), msgspec.json.Decoder(Decision)
    found: list[Decision] = []
    async for record in read_topic(
        settings, DECISIONS, timeout_seconds=READ_SECONDS_MAX, partition=partition
    ):
        if record.key == key and record.value is not None:
            try:
                found.append(decode_json(record.value, decoder, "decision"))
            except Malformed as error:
                raise CuestreamError(f"decisions@{record.offset}: {error.message}") from error
    return found


async def _events(
    settings: KafkaSettings, person: str, partition: int, records_back: int
) -> list[Event]:
    """The person's last events, oldest first; records that are none are the dead letters'."""
    end = (await ends_of(settings, EVENTS)).get(partition, 0)
    key, replay = person.encode(), settings.clock == "replay"
    found: deque[Event] = deque(maxlen=EVENTS_KEPT)
    async for record in read_topic(
        settings,
        EVENTS,
        timeout_seconds=READ_SECONDS_MAX,
        partition=partition,
        start=max(0, end - records_back),
    ):
        try:
            kind = kind_of(record.headers) if record.headers else KIND_EVENT
            if kind == KIND_PACK:
                found.extend(one for one in read_pack(record) if one.person == person)
            elif kind == KIND_EVENT and record.key == key:
                found.append(read_event(record, replay=replay))
        except Malformed:
            continue
    return list(found)


def explain_command(
    person: Annotated[str, typer.Argument(help="the person's id")],
    trigger: Annotated[str, typer.Argument(help="the trigger's id")],
    step: Annotated[
        int | None,
        typer.Option(
            min=0, help="why they did not get this step: its number, counted through all, from 0"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the explanation as JSON")] = False,
    records_back: Annotated[
        int,
        typer.Option(
            min=0,
            max=RECORDS_BACK_MAX,
            help="how many records of the person's partition of events to look through for their "
            "last events",
        ),
    ] = RECORDS_BACK,
) -> None:
    """Say why a person did or did not get a trigger.

    Read from the decisions, the worker's states, the last events and the definitions in
    force, all of them topics. What it prints is about a person: keep it as such.
    """
    settings = load(KafkaSettings)
    now = 0 if settings.clock == "replay" else WallClock().stamp(None)
    found = console.run(
        explain_from_topics(
            settings, person, trigger, now=now, records_back=records_back, step=step
        )
    )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    console.out.print(Text(found.sentence))
    for finding in found.findings:
        console.out.print(Text(f"  {finding.kind}: {finding.sentence}"))
