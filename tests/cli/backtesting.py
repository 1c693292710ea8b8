"""What tests of a backtest share: history in files, a draft, one report."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.cli.backtest_run import question, run
from services.contracts.definitions import Policy, Tag, Trigger
from services.contracts.time import Micros, from_micros
from services.triggers.backtest.report import Report, TriggerResult
from tests.engine.build import bundle

DRAFT = """
kind: trigger
id: draft
status: draft
entry: {events: [order]}
priority: 90
steps: [{send: {channel: log}}]
"""


def message(at: Micros, name: str = "order", person: str = "ada", **fields: Any) -> dict[str, Any]:
    """One message of Segment's form that happened at `at`."""
    return {
        "type": "track",
        "event": name,
        "userId": person,
        "messageId": f"{person}-{name}-{at}",
        "timestamp": from_micros(at).isoformat(),
        **fields,
    }


def history(folder: Path, messages: Iterable[dict[str, Any]], name: str = "h.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(one) + "\n" for one in messages))
    return path


async def backtest(
    folder: Path,
    messages: Iterable[dict[str, Any]] | Path,
    *live: Trigger | Tag | Policy,
    draft: str = DRAFT,
    **asked: Any,
) -> Report:
    """The report of a backtest of this draft among these live definitions."""
    path = messages if isinstance(messages, Path) else history(folder, messages)
    (folder / "draft.yaml").write_text(draft)
    asking = question([folder / "draft.yaml"], bundle(*live), **asked)
    return await run(asking, str(path), lambda what, share: None)


def of(report: Report, name: str = "draft") -> TriggerResult:
    (found,) = (one for one in report.triggers if one.trigger == name)
    return found
