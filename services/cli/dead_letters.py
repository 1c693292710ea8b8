"""`cuestream dlq`: what could not be processed, and why."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from services.cli import console
from services.contracts.deadletter import DeadLetter, LetterDone
from services.contracts.errors import CuestreamError
from services.contracts.time import from_micros
from services.contracts.topics import DEAD_LETTERS, KIND_DONE, KIND_HEADER
from services.runtime.settings import KafkaSettings, load
from services.runtime.topic_reading import read_topic

READ_SECONDS_MAX: Final = 60.0
LIST_MAX: Final = 1_000
HIDDEN: Final = "hidden (--raw shows it)"

app = typer.Typer(no_args_is_help=True, help="Look at the dead letters, replay or discard them.")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter and its place on the dead-letter topic; None where it cannot be read."""

    offset: int
    letter: DeadLetter | None


async def read_letters(settings: KafkaSettings) -> AsyncIterator[Kept]:
    """All dead letters in order, also those that are done with.

    Raises:
        Transient: the broker is away.
    """
    decoder = msgspec.json.Decoder(DeadLetter)
    async for record in read_topic(settings, DEAD_LETTERS, timeout_seconds=READ_SECONDS_MAX):
        if is_done(record):
            continue
        letter: DeadLetter | None
        try:
            letter = decoder.decode(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            letter = None
        yield Kept(offset=record.offset, letter=letter)


def is_done(record: Any) -> bool:
    """Whether a record of the dead-letter topic is no letter but says what became of one."""
    return (KIND_HEADER, KIND_DONE) in record.headers


async def read_done(settings: KafkaSettings) -> dict[int, LetterDone]:
    """What became of letters, by their offset; the last word counts.

    Raises:
        Transient: the broker is away.
    """
    decoder = msgspec.json.Decoder(LetterDone)
    done: dict[int, LetterDone] = {}
    async for record in read_topic(settings, DEAD_LETTERS, timeout_seconds=READ_SECONDS_MAX):
        if is_done(record):
            one = decoder.decode(record.value)
            done[one.offset] = one
    return done


def matches(letter: DeadLetter | None, *, code: str | None, origin: str | None) -> bool:
    """Whether a letter is among those asked for; None asks for any."""
    if code is not None and (letter is None or letter.code != code):
        return False
    return origin is None or (letter is not None and letter.origin == origin)


def origin_of(letter: DeadLetter) -> str:
    """Where the record stood: topic/partition@offset, and its place in a pack."""
    place = f"{letter.topic}/{letter.partition}@{letter.offset}"
    return place if letter.index is None else f"{place}[{letter.index}]"


async def list_letters(
    settings: KafkaSettings,
    *,
    code: str | None,
    origin: str | None,
    limit: int,
    everything: bool = False,
) -> Table:
    """The newest `limit` letters that match, oldest first, without any personal value.

    Those replayed or discarded only with `everything`.
    """
    done = await read_done(settings)
    kept: list[Kept] = []
    matching = 0
    async for one in read_letters(settings):
        if not matches(one.letter, code=code, origin=origin):
            continue
        if one.offset in done and not everything:
            continue
        matching += 1
        kept.append(one)
        if len(kept) > limit:
            kept.pop(0)
    table = Table(title=f"{matching} dead letters, {len(kept)} shown", title_justify="left")
    columns = ["offset", "at", "origin", "record", "code", "reason", "bytes"]
    for column in [*columns, "done"] if everything else columns:
        table.add_column(column, overflow="fold")
    for one in kept:
        became = done.get(one.offset)
        row = _row(one)
        table.add_row(*row, *([became.what if became else ""] if everything else []))
    return table


def _row(one: Kept) -> list[str]:
    letter = one.letter
    if letter is None:
        return [str(one.offset), "", "", "", "unreadable", "", ""]
    return [
        str(one.offset),
        _time(letter.at),
        letter.origin,
        origin_of(letter),
        letter.code,
        letter.reason,
        str(len(letter.value or b"")),
    ]


async def show_letter(settings: KafkaSettings, offset: int, *, raw: bool) -> dict[str, Any]:
    """One letter as JSON values; key, headers and value only with `raw`.

    Raises:
        CuestreamError: there is none at this offset.
    """
    async for one in read_letters(settings):
        if one.offset != offset:
            continue
        if one.letter is None:
            raise CuestreamError(f"the record at offset {offset} is no dead letter")
        return _shown(one.letter, raw=raw)
    raise CuestreamError(f"no dead letter has offset {offset}")


def _shown(letter: DeadLetter, *, raw: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "code": letter.code,
        "reason": letter.reason,
        "origin": letter.origin,
        "record": origin_of(letter),
        "at": _time(letter.at),
        "bytes": len(letter.value or b""),
    }
    if not raw:
        return {**shown, "key": HIDDEN, "headers": HIDDEN, "value": HIDDEN}
    headers = {name: _readable(value) for name, value in letter.headers.items()}
    return {
        **shown,
        "key": _readable(letter.key),
        "headers": headers,
        "value": _readable(letter.value),
    }


def _readable(value: bytes | None) -> str | dict[str, str] | None:
    """Text where it is text, else its hexadecimal digits."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"hex": value.hex()}


def _time(at: int) -> str:
    try:
        return from_micros(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return f"{at} us"


@app.command("list")
def list_command(
    code: Annotated[str | None, typer.Option(help="only this reason code")] = None,
    origin: Annotated[str | None, typer.Option(help="only from this service")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="the newest so many")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="also replayed and discarded")] = False,
) -> None:
    """List dead letters: reason and origin, nothing personal."""
    work = list_letters(
        load(KafkaSettings), code=code, origin=origin, limit=limit, everything=everything
    )
    console.out.print(console.run(work), markup=False)


@app.command("show")
def show_command(
    offset: Annotated[int, typer.Argument(min=0, help="as `dlq list` shows it")],
    raw: Annotated[bool, typer.Option(help="also the record itself: may be personal data")] = False,
) -> None:
    """Show one dead letter."""
    shown = console.run(show_letter(load(KafkaSettings), offset, raw=raw))
    # ASCII only: a record must not be able to steer the terminal.
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=True))
