"""One backtest on the command line: its question from files, its history from a file or the log."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from services.cli.backtest_rules import read_files
from services.cli.retail import COLUMNS, read_lines, to_message
from services.contracts.codec import encode_json
from services.contracts.definitions import Bundle, Trigger
from services.contracts.errors import CuestreamError
from services.contracts.time import Micros
from services.runtime.settings import KafkaSettings, load
from services.triggers.backtest.history import Progress, Taken, read_events_topic, read_file
from services.triggers.backtest.report import Report
from services.triggers.backtest.rules import bundle_of, compiled
from services.triggers.backtest.run import Question, Say
from services.triggers.backtest.run import run as run_question
from services.triggers.backtest.spool import Spool

TOPIC: Final = "topic"


def question(
    files: Sequence[Path], live: Bundle, *, workspace: str = "default", **asked: object
) -> Question:
    """Compile what is to be compared.

    Raises:
        CuestreamError: a definition cannot be right, or none of the drafts is a live trigger.
    """
    definitions = read_files(files)
    drafts = frozenset(
        one.id for one in definitions if isinstance(one, Trigger) and one.status == "live"
    )
    if not drafts:
        raise CuestreamError(f"{', '.join(map(str, files))}: no trigger that is a draft or live")
    return msgspec.structs.replace(
        Question(
            drafts=drafts,
            live=compiled(live, workspace),
            together=compiled(bundle_of(definitions, live), workspace),
        ),
        **asked,
    )


def _retail(path: Path) -> Iterator[bytes]:
    return (encode_json(to_message(line)) for line in read_lines(path))


async def run(asked: Question, events: str, say: Say) -> Report:
    """Answer the question by a history: a file, or `topic`.

    Raises:
        CuestreamError: the history cannot be used; the message says where and why.
    """

    async def read(spool: Spool, until: Micros | None, progress: Progress) -> Taken:
        if events == TOPIC:
            return await read_events_topic(load(KafkaSettings), spool, until, progress)
        tables = {COLUMNS[0].encode(): _retail}
        return read_file(Path(events), spool, until, progress, tables)

    return await run_question(asked, read, say)
