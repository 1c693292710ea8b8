"""`cuestream privacy`: what is known of a person, forgetting them, and keys that rotate."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import msgspec
import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli import console
from services.cli.privacy_data import Known, collect, known_as
from services.cli.privacy_keys import reseal_states, reseal_stored, under_another_key
from services.contracts.codec import encode_json
from services.contracts.command import Erased
from services.contracts.control import Erase
from services.contracts.topics import EVENTS, KIND_ERASE, KIND_HEADER, TOPICS
from services.dispatcher import erasing as dispatcher_erasing
from services.profile_store import erasing as profile_store_erasing
from services.profile_store.settings import ProfileStoreSettings, sensitive_of
from services.runtime.clock import WallClock
from services.runtime.database import make_engine
from services.runtime.erasing import Erasures
from services.runtime.kafka import make_producer, partition_of, topic_name
from services.runtime.settings import load
from services.runtime.topic_reading import partitions_of
from services.triggers.backtest import erasing as trigger_erasing

POLL_SECONDS: Final = 0.2
MS_A_DAY: Final = 86_400_000

app = typer.Typer(no_args_is_help=True, help="What is known of people, and forgetting it.")


@app.callback()
def privacy() -> None:
    """What is known of people, and forgetting it."""


@app.command("export")
def export_command(
    person: Annotated[str, typer.Argument(help="any id of the person")],
    to: Annotated[
        Path | None, typer.Option("--to", help="the file to write; left out: printed")
    ] = None,
) -> None:
    """Give out everything that is known of a person, in every store and topic, as JSON."""

    async def work(settings: ProfileStoreSettings, engine: AsyncEngine) -> dict[str, Any]:
        known = await known_as(settings, engine, person)
        return await collect(settings, engine, known, sensitive_of(settings))

    text = msgspec.json.format(msgspec.json.encode(_with_engine(work)), indent=2)
    if to is None:
        typer.echo(text)
    else:
        to.write_bytes(text)
        typer.echo(f"written to {to}")


@app.command("erase")
def erase_command(
    person: Annotated[str, typer.Argument(help="any id of the person")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    wait_seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="how long to wait for the stores")
    ] = 60.0,
) -> None:
    """Forget a person in every store and topic, and print the receipt as JSON.

    The services have to be running. What cannot be taken out of a topic that is kept by time
    goes with it: the receipt says until when.
    """
    if not yes:
        typer.confirm(f"Forget everything about {person}? There is no way back.", abort=True)

    async def work(settings: ProfileStoreSettings, engine: AsyncEngine) -> dict[str, Any]:
        known = await known_as(settings, engine, person)
        return await erase(settings, engine, known, wait_seconds=wait_seconds)

    receipt = _with_engine(work)
    typer.echo(msgspec.json.format(msgspec.json.encode(receipt), indent=2))
    if not receipt["complete"]:
        raise typer.Exit(1)


@app.command("reseal")
def reseal_command(
    wait_seconds: Annotated[
        float, typer.Option(min=0, max=86_400, help="how long to wait for the workers")
    ] = 180.0,
) -> None:
    """Seal everything again with the first of the keys, and say what needs another one still.

    Add a new key, restart all processes, run this while they run. docs/privacy.md has the steps.
    """

    async def work(settings: ProfileStoreSettings, engine: AsyncEngine) -> Any:
        stored = await reseal_stored(settings, engine)
        states = await reseal_states(settings, wait_seconds=wait_seconds)
        return stored, states, await under_another_key(settings)

    stored, states, profiles = _with_engine(work)
    for what, one in stored.items():
        typer.echo(
            f"{one.looked_at} {what}, {one.sealed} sealed again,"
            f" {one.unopened} not opened by any key"
        )
    typer.echo(f"{states} states of people on the changelog under another key")
    typer.echo(f"{profiles} snapshots on the topic of profiles under another key")
    if states or any(one.unopened for one in stored.values()):
        raise typer.Exit(1)


def _with_engine(work: Any) -> Any:
    async def run() -> Any:
        settings = load(ProfileStoreSettings)
        partitions = await partitions_of(settings, EVENTS)
        settings = settings.model_copy(update={"partitions": partitions})
        engine = make_engine(settings, application="cuestream privacy")
        try:
            return await work(settings, engine)
        finally:
            await engine.dispose()

    return console.run(run())


async def erase(
    settings: ProfileStoreSettings, engine: AsyncEngine, known: Known, *, wait_seconds: float
) -> dict[str, Any]:
    """Put the erasures on the log, wait for the stores, and give the receipt.

    Raises:
        Transient: the broker or the database is away.
    """
    request, at = str(uuid4()), WallClock().stamp(None)
    producer = make_producer(settings)
    await producer.start()
    try:
        for person in known.ids:
            key = person.encode()
            await producer.send_and_wait(
                topic_name(settings, EVENTS),
                encode_json(Erase(person=person, request=request, at=at)),
                key=key,
                partition=partition_of(key, settings.partitions),
                headers=[(KIND_HEADER, KIND_ERASE)],
            )
    finally:
        await producer.stop()
    # Nobody follows the log there: what is late is swept by the marketers' API.
    shown = trigger_erasing.erasures_of(engine)
    for person in known.ids:
        await shown.erase(Erased(person=person, request=request, at=at))
    stores = {
        "triggers": shown,
        "profile_store": profile_store_erasing.erasures_of(engine),
        "dispatcher": dispatcher_erasing.erasures_of(engine),
    }
    receipts, complete = await _receipts(stores, request, len(known.ids), wait_seconds)
    now = datetime.now(UTC)
    return {
        "request": request,
        "asked_at": now.isoformat(timespec="seconds"),
        "ids": len(known.ids),
        "complete": complete,
        "stores": receipts,
        "topics": {
            topic.name: (
                "taken away by a record of no value, for good once the broker compacts"
                if topic.retention_ms is None
                else "gone with their records by "
                + (now + timedelta(days=topic.retention_ms / MS_A_DAY)).date().isoformat()
            )
            for topic in TOPICS
            if topic.keyed_by in ("person", "origin", "nothing")
        },
        "worker_state": "taken away by a record of no value on the changelog",
    }


async def _receipts(
    stores: dict[str, Erasures], request: str, ids: int, wait_seconds: float
) -> tuple[dict[str, list[Any]], bool]:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_seconds
    while True:
        found: dict[str, Sequence[Any]] = {
            name: await erasures.receipts(request) for name, erasures in stores.items()
        }
        complete = all(len(one) >= ids for one in found.values())
        if complete or loop.time() >= until:
            return {name: msgspec.to_builtins(one) for name, one in found.items()}, complete
        await asyncio.sleep(POLL_SECONDS)
