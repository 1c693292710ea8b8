"""One backtest: history played without and with drafts, compared, and looked at closely."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import date
from heapq import nsmallest
from tempfile import TemporaryFile
from typing import Final

import msgspec

from services.contracts.decision import Decision
from services.contracts.errors import CuestreamError, Malformed
from services.contracts.time import Micros
from services.contracts.timestamp import parse_timestamp
from services.triggers.backtest.history import Progress, Taken
from services.triggers.backtest.play import Play
from services.triggers.backtest.report import (
    Comparison,
    Report,
    Sample,
    Tallies,
    results,
)
from services.triggers.backtest.spool import Spool
from services.triggers.engine import Rules
from services.triggers.engine.explain import explain
from services.triggers.engine.explain_texts import instant
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.limits import INSTANT_MAX
from services.triggers.engine.windows import Calendar

PLAYED_EVERY: Final = 20_000
DATE_CHARS: Final = 10
Say = Callable[[str, float | None], None]
"""What is being done, and the share of it that is done (None: not known)."""

ReadHistory = Callable[[Spool, Micros | None, Progress], Awaitable[Taken]]
"""Puts history before an instant into a spool."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `live` is what was in force beside the drafts; `begins_at` and `ends_at`
    as on the command line: a day of the workspace, or an instant."""

    drafts: frozenset[str]
    live: Rules
    together: Rules
    begins_at: str | None = None
    ends_at: str | None = None
    samples: int = 5
    seed: int = 0
    fail_share: int = 0


def moment(text: str | None, name: str, calendar: Calendar) -> Micros | None:
    """The instant of `--from` or `--to`: of a date, the beginning of that day.

    Raises:
        CuestreamError: it is neither a date nor an instant before 2100.
    """
    if text is None:
        return None
    try:
        if len(text) == DATE_CHARS:
            return calendar.start_of((date.fromisoformat(text) - date(1970, 1, 1)).days)
        at = parse_timestamp(text)
    except (ValueError, Malformed):
        at = INSTANT_MAX
    if at >= INSTANT_MAX:
        raise CuestreamError(f"{name}: neither a date (2026-03-01) nor an instant (ISO 8601)")
    return at


async def run(asked: Question, read: ReadHistory, say: Say) -> Report:
    """Read history, play it without and with the drafts, count, and look at some people. The
    same history and question give the same report.

    Raises:
        CuestreamError: the history cannot be used; the message says where and why.
    """
    calendar = asked.together.calendar
    begins_at = moment(asked.begins_at, "--from", calendar)
    ends_at = moment(asked.ends_at, "--to", calendar)
    if begins_at is not None and ends_at is not None and begins_at >= ends_at:
        raise CuestreamError("--from has to be before --to")

    def progress(share: float | None, count: int) -> None:
        say(f"reading ({count:,} events)", share)

    with TemporaryFile(prefix="cuestream-backtest-") as file:
        spool = Spool(file)
        taken = await read(spool, ends_at, progress)
        spool.close()
        assert spool.first_at is not None
        assert spool.last_at is not None
        begins_at = spool.first_at if begins_at is None else begins_at
        ends_at = spool.last_at + 1 if ends_at is None else ends_at
        return _play(asked, spool, taken, begins_at, ends_at, say)


def _play(
    asked: Question, spool: Spool, taken: Taken, begins_at: Micros, ends_at: Micros, say: Say
) -> Report:
    tallies = Tallies(begins_at, ends_at, asked.together.calendar)
    compared = Comparison(begins_at, ends_at)

    def hear(decisions: list[Decision]) -> None:
        tallies.count(decisions)
        compared.together(decisions)

    assert spool.last_at is not None
    together = Play(asked.together, hear, fail_share=asked.fail_share)
    plays = [together]
    if asked.live.triggers:
        plays.append(Play(asked.live, compared.alone, fail_share=asked.fail_share))
    for number, (at, event) in enumerate(spool.read()):
        for play in plays:
            play.happen(event, at)
        if number % PLAYED_EVERY == 0:
            say("deciding", number / spool.events)
    for play in plays:
        play.advance(ends_at)
    say("looking at samples", None)
    return Report(
        begins_at=instant(begins_at),
        ends_at=instant(spool.last_at if asked.ends_at is None else ends_at),
        time_zone=asked.together.zone,
        events=taken.events,
        events_after=taken.after,
        people=sum(one.merged_into is None for one in together.states.values()),
        folded=together.out.counts,
        refused=dict(sorted(taken.refused.items())),
        fail_share_percent=asked.fail_share,
        drafts=tuple(sorted(asked.drafts)),
        triggers=results(sorted(asked.together.triggers), asked.drafts, tallies, compared),
        samples=_samples(asked, spool, together, tallies, begins_at, ends_at),
    )


def _samples(
    asked: Question,
    spool: Spool,
    together: Play,
    tallies: Tallies,
    begins_at: Micros,
    ends_at: Micros,
) -> tuple[Sample, ...]:
    """People whom each draft reached, and whom it considered in vain: played once more, alone.

    Who they are is decided by a hash of seed and person, not by their place in history.
    """

    def rank(person: str) -> tuple[int, str]:
        return fingerprint_parts([str(asked.seed), person]), person

    chosen: list[tuple[str, str, bool]] = []
    for draft in sorted(asked.drafts):
        tally = tallies.by_trigger[draft]
        for people, reached in ((tally.reached, True), (tally.considered - tally.reached, False)):
            some = nsmallest(asked.samples, people, key=rank)
            chosen += [(draft, person, reached) for person in some]
    recorded: defaultdict[str, list[Decision]] = defaultdict(list)

    def hear(decisions: list[Decision]) -> None:
        recorded[decisions[0].person] += [
            one for one in decisions if begins_at <= one.now < ends_at
        ]

    play = Play(asked.together, hear, fail_share=asked.fail_share)
    for at, event in spool.read(together.one_with({person for _, person, _ in chosen})):
        play.happen(event, at)
    play.advance(ends_at)
    return tuple(
        Sample(
            reached=reached,
            explanation=explain(
                play.states[person], draft, asked.together, recorded[person], ends_at
            ),
        )
        for draft, person, reached in chosen
    )
