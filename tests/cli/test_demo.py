"""What the demo refuses before it starts anything, and how it ends when a part is given up."""

import asyncio
import os
import signal
from pathlib import Path
from typing import cast

import pytest

from services.cli.demo import _or_failed, bundled_sample, count_lines, fresh_folder, until_told
from services.cli.retail import COLUMNS
from services.cli.stack import Stack
from services.cli.summary import Summary
from services.contracts.errors import CuestreamError
from services.runtime.supervisor import SupervisorError


def test_every_line_of_the_sample_is_counted() -> None:
    assert count_lines(bundled_sample()) == 73_964


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CuestreamError, match=r"none\.csv: No such file"):
        count_lines(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the first line must be"),
        ("a,b\n", "the first line must be"),
        (",".join(COLUMNS) + "\n", "no lines"),
        (",".join(COLUMNS) + "\n1,p,d,1,2010-02-30T08:00:00,1,7,EIRE\n", "line 2: InvoiceDate"),
        (",".join(COLUMNS) + "\n1,p\n", "line 2 has 2 columns"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text)
    with pytest.raises(CuestreamError, match=rf"orders\.csv: .*{complaint}"):
        count_lines(file)


def test_a_folder_of_an_earlier_run_is_refused(tmp_path: Path) -> None:
    assert fresh_folder(tmp_path / "new" / "folder").is_dir()
    (tmp_path / "postgres").mkdir()
    with pytest.raises(CuestreamError, match="not empty"):
        fresh_folder(tmp_path)


class GivenUp:
    """A stack of which one service has just ended for good."""

    async def failed(self) -> SupervisorError:
        return SupervisorError("triggers_1", "ended with 1")


async def test_a_service_that_is_given_up_ends_the_demo_at_once() -> None:
    async def forever() -> Summary:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(SupervisorError, match="triggers_1"):
        await _or_failed(cast("Stack", GivenUp()), forever())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_told_to_stop_it_cleans_up_and_says_so(number: signal.Signals) -> None:
    cleaned = asyncio.Event()

    async def work() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        return 0

    assert await until_told(work()) == 130
    assert cleaned.is_set()
