"""`cuestream backtest`: what a draft would have done, and what it would have cost others."""

import json
import os
import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from services.cli.backtest_run import question
from services.cli.backtest_tables import render
from services.contracts.decision import CANCELLED, Decision
from services.contracts.definitions import Bundle
from services.contracts.event import Event
from services.contracts.segment import parse_message
from services.contracts.time import DAY, HOUR, MINUTE, SECOND, Micros, from_micros
from services.triggers.backtest.play import Play
from services.triggers.backtest.report import encode_report
from services.triggers.backtest.rules import bundle_of
from services.triggers.backtest.spool import Spool
from services.triggers.engine import (
    Outputs,
    PersonState,
    Rules,
    compile_rules,
    decide,
    new_state,
    wake,
)
from tests.cli.backtesting import DRAFT, backtest, history, message, of
from tests.engine.build import NOON, bundle, policy, tag, trigger

COMMAND = [sys.executable, "-c", "from services.cli.main import app; app()", "backtest"]


async def test_sends_are_counted_by_day_and_by_person(tmp_path: Path) -> None:
    messages = [message(NOON), message(NOON + DAY, person="bob"), message(NOON + DAY + 1)]
    found = of(await backtest(tmp_path, [*messages, message(NOON, "visit", "eve")]))
    assert found.sends_by_day == {"2026-06-10": 1, "2026-06-11": 2}
    assert (found.sends, found.people_reached, found.people_considered) == (3, 2, 2)


async def test_days_are_those_of_the_workspace(tmp_path: Path) -> None:
    draft = f"{DRAFT}---\n{{kind: workspace, id: w, time_zone: Asia/Shanghai}}\n"
    late = NOON + 6 * HOUR
    report = await backtest(tmp_path, [message(late)], draft=draft)
    assert of(report).sends_by_day == {"2026-06-11": 1}


async def test_refusals_are_counted_by_outcome_and_policy(tmp_path: Path) -> None:
    messages = [message(NOON + hour * HOUR) for hour in range(3)]
    report = await backtest(tmp_path, messages, policy("daily", limit=1))
    (reason,) = of(report).suppressed
    assert (reason.outcome, reason.policy, reason.put_off, reason.decisions) == (
        "cap",
        "daily",
        False,
        2,
    )


async def test_a_send_that_the_draft_pushes_out_is_displaced(tmp_path: Path) -> None:
    live = trigger("live", priority=10)
    messages = [message(NOON), message(NOON + 2 * DAY)]
    report = await backtest(tmp_path, messages, live, policy(limit=1))
    found = of(report, "live")
    assert (found.sends_without_draft, found.sends, found.displaced) == (2, 0, 2)
    assert of(report).displaced == 0


async def test_a_send_that_the_draft_puts_off_is_moved_and_not_displaced(tmp_path: Path) -> None:
    live = trigger("live", priority=10, when_capped={"action": "defer", "expires_after": "48h"})
    messages = [message(NOON), message(NOON + 3 * DAY, "visit")]
    report = await backtest(tmp_path, messages, live, policy(limit=1))
    found = of(report, "live")
    assert (found.sends, found.moved, found.displaced) == (1, 1, 0)
    assert found.sends_by_day == {"2026-06-11": 1}


async def test_a_draft_of_a_live_trigger_replaces_it(tmp_path: Path) -> None:
    live = trigger("draft", entry={"events": ["visit"]})
    report = await backtest(tmp_path, [message(NOON), message(NOON + 1, "visit")], live)
    found = of(report)
    assert (found.sends, found.sends_without_draft, found.displaced, found.gained) == (1, 1, 1, 1)


async def test_time_alone_fires_a_draft_when_it_is_due(tmp_path: Path) -> None:
    draft = DRAFT.replace("{events: [order]}", "{inactivity: {events: [order], lasts: 30d}}")
    others = [message(NOON + 40 * DAY, "visit", "bob")]
    report = await backtest(tmp_path, [message(NOON), *others], draft=draft)
    assert of(report).sends_by_day == {"2026-07-10": 1}
    (sample,) = report.samples
    assert sample.explanation.findings[0].at == NOON + 30 * DAY


async def test_nothing_fires_after_the_last_event_unless_an_end_is_given(tmp_path: Path) -> None:
    draft = DRAFT.replace("{events: [order]}", "{inactivity: {events: [order], lasts: 30d}}")
    assert of(await backtest(tmp_path, [message(NOON)], draft=draft)).sends == 0
    later = await backtest(tmp_path, [message(NOON)], draft=draft, ends_at="2026-07-11")
    assert of(later).sends == 1


async def test_what_lies_before_the_beginning_fills_caps_and_is_not_counted(
    tmp_path: Path,
) -> None:
    messages = [message(NOON), message(NOON + HOUR), message(NOON + 2 * DAY)]
    report = await backtest(
        tmp_path, messages, policy(limit=1), begins_at="2026-06-10T12:30:00Z", ends_at="2026-06-12"
    )
    found = of(report)
    assert (found.sends, [one.outcome for one in found.suppressed]) == (0, ["cap"])
    assert (report.events, report.events_after) == (2, 1)


async def test_a_failed_send_gives_its_place_back(tmp_path: Path) -> None:
    messages = [message(NOON), message(NOON + HOUR)]
    report = await backtest(tmp_path, messages, policy(limit=1), fail_share=100)
    assert of(report).sends == 2


async def test_samples_are_people_reached_and_not_and_the_seed_chooses_them(tmp_path: Path) -> None:
    people = [f"p{number}" for number in range(40)]
    messages = [message(NOON - HOUR, "visit", person) for person in people[:20]]
    messages += [message(NOON + n, person=person) for n, person in enumerate(people)]
    draft = f"{DRAFT}audience: {{tag: visits, op: eq, value: 0}}\n"
    visits = tag("visits", events=["visit"])

    async def chosen(seed: int) -> list[tuple[str, bool]]:
        report = await backtest(tmp_path, messages, visits, draft=draft, samples=3, seed=seed)
        assert len(report.samples) == 6
        return [(one.explanation.person, one.reached) for one in report.samples]

    first, second = await chosen(1), await chosen(2)
    assert [reached for _, reached in first] == [True] * 3 + [False] * 3
    assert all((int(person[1:]) >= 20) is reached for person, reached in first)
    assert first != second


def shop(count: int, seed: int = 3) -> list[dict[str, Any]]:
    """Some weeks of a few busy people."""
    draw = random.Random(seed)
    return [
        message(
            NOON + number * 20 * MINUTE + draw.randrange(10 * SECOND),
            draw.choice(("order", "visit", "visit")),
            f"p{draw.randrange(12)}",
            properties={"amount": draw.randrange(50)},
        )
        for number in range(count)
    ]


LIVE = (
    trigger("greedy", priority=40, when_capped={"action": "defer"}),
    trigger("quiet", entry={"inactivity": {"events": ["visit"], "lasts": "6h"}}),
    trigger(
        "left",
        entry={
            "absence": {
                "after": {"events": ["visit"]},
                "without": {"events": ["order"]},
                "within": "5h",
            }
        },
        exit={"events": ["order"]},
    ),
    trigger("spender", entry={"threshold": {"tag": "spend", "direction": "down", "bound": 20}}),
    trigger("daily", entry={"schedule": {"cron": "30 9 * * *", "spread": "2h"}}),
    tag("spend", "sum", window="24h"),
    policy("daily", limit=2, window="24h"),
)
BIG = DRAFT.replace("[order]}", "[order], where: {tag: spend, op: gte, value: 60}}")


async def test_the_order_of_the_file_changes_nothing(tmp_path: Path) -> None:
    messages = shop(800)
    expected = encode_report(await backtest(tmp_path, messages, *LIVE, draft=BIG))
    random.Random(1).shuffle(messages)
    assert encode_report(await backtest(tmp_path, messages, *LIVE, draft=BIG)) == expected


def pass_time(state: PersonState, rules: Rules, until: Micros, out: Outputs) -> None:
    while state.wake_at is not None and state.wake_at < until:
        wake(state, rules, state.wake_at, out)


def by_hand(definitions: Bundle, messages: Sequence[dict[str, Any]]) -> list[Decision]:
    """Each person's log for itself, through the engine, timers by looking at each instant."""
    logs: defaultdict[str, list[Event]] = defaultdict(list)
    for one in messages:
        event = parse_message(json.dumps(one).encode(), received_at=None)
        logs[event.person].append(event)
    end = max(event.occurred_at for log in logs.values() for event in log) + 1
    rules, decided = compile_rules(definitions), []
    for person, log in logs.items():
        state, out = new_state(person), Outputs()
        for event in sorted(log, key=lambda one: one.occurred_at):
            pass_time(state, rules, event.occurred_at, out)
            decide(state, event, rules, event.occurred_at, out)
        pass_time(state, rules, end, out)
        decided += [one for one in out.decisions if CANCELLED not in one.details]
    return decided


async def test_it_decides_what_the_engine_decides_for_each_person_alone(tmp_path: Path) -> None:
    messages = shop(800)
    report = await backtest(tmp_path, messages, *LIVE, draft=BIG)
    together = question([tmp_path / "draft.yaml"], bundle(*LIVE)).together
    live, draft = bundle(*LIVE), tuple(one.trigger for one in together.triggers.values())
    expected = by_hand(bundle(*draft, *live.tags, *live.policies), messages)
    alone = by_hand(live, messages)
    for found in report.triggers:
        sent = {
            one.send_id for one in expected if (one.trigger, one.outcome) == (found.trigger, "sent")
        }
        before = {
            one.send_id for one in alone if (one.trigger, one.outcome) == (found.trigger, "sent")
        }
        others = [one for one in expected if one.trigger == found.trigger and one.outcome != "sent"]
        assert found.sends == len(sent)
        assert found.sends_without_draft == len(before)
        assert found.displaced == len(before - sent)
        assert found.gained == len(sent - before)
        assert sum(one.decisions for one in found.suppressed) == len(others)
    assert of(report, "greedy").displaced > 0
    assert all(of(report, name).sends > 0 for name in ("quiet", "left", "spender", "daily"))


def test_timers_fire_in_due_order_and_no_profile_is_made() -> None:
    seen: list[tuple[Micros, str]] = []
    quiet = trigger(entry={"inactivity": {"events": ["order"], "lasts": "1h"}})
    play = Play(
        compile_rules(bundle(quiet)),
        lambda all_: seen.extend((one.now, one.person) for one in all_),
    )
    for at, person in ((NOON, "b"), (NOON + MINUTE, "a"), (NOON + 30 * MINUTE, "b")):
        raw = json.dumps(message(at, person=person)).encode()
        play.happen(parse_message(raw, received_at=None), at)
    play.advance(NOON + 90 * MINUTE)
    assert seen == [(NOON + 61 * MINUTE, "a")]
    play.advance(NOON + 90 * MINUTE + 1)
    assert seen[1:] == [(NOON + 90 * MINUTE, "b")]
    assert play.out.profiles == []


@given(st.lists(st.integers(min_value=0, max_value=20), max_size=60), st.integers(1, 9))
def test_a_spool_gives_back_everything_by_time_and_as_it_came(
    instants: list[int], run_events_max: int
) -> None:
    def event(number: int, at: int) -> Event:
        return Event(
            person=f"p{number % 3}", type="track", name="e", message_id=str(number),
            occurred_at=at, received_at=at, properties={"n": number},
        )  # fmt: skip

    given_ = [(at, event(number, at)) for number, at in enumerate(instants)]
    with TemporaryFile() as file:
        spool = Spool(file, run_events_max=run_events_max)
        for at, one in given_:
            spool.add(at, one)
        spool.close()
        expected = sorted(given_, key=lambda pair: pair[0])
        assert list(spool.read()) == expected
        assert list(spool.read({"p1"})) == [one for one in expected if one[1].person == "p1"]


IDENTIFIED = {"type": "identify", "anonymousId": "visitor"}


def visitor(at: Micros, name: str = "order") -> dict[str, Any]:
    """What somebody did before they said who they are."""
    return {**message(at, name, "visitor"), "userId": None, "anonymousId": "visitor"}


async def test_people_who_turn_out_to_be_one_share_their_caps_and_their_journeys(
    tmp_path: Path,
) -> None:
    draft = DRAFT.replace("steps: [", "exit: {events: [leave]}\nsteps: [{wait: {for: 1d}}, ")
    messages = [
        visitor(NOON),
        message(NOON + HOUR, "$identify", **IDENTIFIED),
        message(NOON + 2 * HOUR),
        visitor(NOON + 3 * HOUR),
        message(NOON + 3 * DAY, "visit", "bob"),
    ]
    report = await backtest(
        tmp_path,
        messages,
        policy("daily", limit=2),
        draft=draft,
        begins_at=from_micros(NOON + HOUR).isoformat(),
    )
    found = of(report)
    assert (report.people, found.sends, found.people_reached) == (2, 2, 1)
    assert [(one.outcome, one.policy) for one in found.suppressed] == [("cap", "daily")]
    assert found.results == {"done": 3}
    # A sample is played alone, and with all whom the person turned out to be.
    [ada] = report.samples
    told = [one.outcome for one in ada.explanation.findings if one.kind == "decision"]
    assert told.count("sent") == 2
    assert told.count("cap") == 1
    left = [*messages[:4], visitor(NOON + 4 * HOUR, "leave"), messages[4]]
    assert of(await backtest(tmp_path, left, draft=draft)).results == {}


async def test_what_journeys_grant_hand_over_and_come_to_is_counted(tmp_path: Path) -> None:
    steps = [
        {"offer": {"kind": "gift", "endpoint": "shop", "reference": "x"}},
        {
            "wait_for": {
                "events": ["visit"],
                "within": "1d",
                "then": [{"end": {"result": "woken"}}],
                "on_timeout": [
                    {
                        "handoff": {
                            "to": "sales",
                            "endpoint": "crm",
                            "content": {"subject": "Call"},
                        }
                    }
                ],
            }
        },
    ]
    draft = DRAFT.replace("steps: [{send: {channel: log}}]", f"steps: {json.dumps(steps)}")
    messages = [message(NOON), message(NOON, person="bob"), message(NOON + HOUR, "visit", "bob")]
    report = await backtest(
        tmp_path, messages, draft=draft, ends_at=from_micros(NOON + 2 * DAY).isoformat()
    )
    found = of(report)
    assert (found.sends, found.offers, found.handoffs) == (0, 2, 1)
    assert found.results == {"done": 1, "woken": 1}
    assert (found.people_reached, found.suppressed) == (2, ())
    console = Console(width=100, record=True, file=StringIO())
    console.print(render(report))
    text = console.export_text()
    assert "draft: journeys" in text
    assert re.search(r"ended: woken\W+1\b", text)


def test_the_default_policy_stands_unless_it_is_given() -> None:
    assert [one.id for one in bundle_of([]).policies] == ["marketing_daily"]
    own = bundle_of([policy("marketing_daily", limit=9)])
    assert [one.limit for one in own.policies] == [9]


async def test_the_tables_show_what_the_report_holds(tmp_path: Path) -> None:
    report = await backtest(tmp_path, shop(300), *LIVE, draft=BIG)
    with (tmp_path / "shown").open("w") as file:
        Console(file=file, width=100).print(render(report))
    shown = (tmp_path / "shown").read_text()
    for part in ("draft *", "greedy", "displaced", "2026-06-10", "daily", "accepted at once"):
        assert part in shown


def command(
    folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.slow
def test_the_command_prints_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "draft.yaml").write_text(DRAFT)
    history(tmp_path, shop(200))
    arguments = ("--trigger", "draft.yaml", "--events", "h.jsonl", "--json")
    # Hashes of texts differ from process to process: nothing may hang on the order of a set.
    first, second = (command(tmp_path, *arguments, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads(first.stdout)["drafts"] == ["draft"]
    assert first.stdout == second.stdout


def test_a_wrong_file_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "draft.yaml").write_text(DRAFT)
    (tmp_path / "h.jsonl").write_text("{\n")
    done = command(tmp_path, "--trigger", "draft.yaml", "--events", "h.jsonl")
    assert done.returncode == 1
    assert "cuestream: h.jsonl: line 1: not one JSON object" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
