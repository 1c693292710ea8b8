"""Waiting has an end: by success, or by lack of progress."""

import pytest

from services.cli.drain import Stalled, until


async def test_waiting_ends_when_the_check_has_nothing_left_to_say() -> None:
    answers = iter(["2 to go", "1 to go", None])

    async def check() -> str | None:
        return next(answers)

    await until(check)
    assert next(answers, "asked no more") == "asked no more"


async def test_what_does_not_move_is_given_up_with_what_it_said() -> None:
    async def check() -> str | None:
        return "3 records to go"

    with pytest.raises(Stalled, match="3 records to go"):
        await until(check, stall_seconds_max=0.0)


async def test_progress_buys_more_time() -> None:
    left = iter(range(5, -1, -1))

    async def check() -> str | None:
        count = next(left)
        return f"{count} to go" if count else None

    await until(check, stall_seconds_max=0.0)
