"""The promises, under any order of events, duplicates, deliveries and ticks.

No person ever exceeds a cap; no send that passed is lost; nothing is sent twice; nobody is woken
at night; who is held out gets nothing; the same log gives the same bytes, whenever a worker
restarts in between.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.codec import encode_json
from services.contracts.decision import Outcome
from services.contracts.definitions import Bundle
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine import compile_rules, encode_state
from tests.engine import audit
from tests.engine.build import Log, at, bundle, policy, trigger

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing in a person's log.

    It comes `after` the step before it, or, with an `edge`, so far from the instant at which
    the last cap that refused said it would free.
    """

    kind: str
    after: Micros
    edge: int | None = None
    name: str = "order"
    late: Micros = 0
    which: int = 0


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Three triggers of mixed kinds under one to three caps."""
    triggers = []
    for number in range(3):
        fields: dict[str, Any] = {
            "priority": draw(st.sampled_from([10, 50, 90])),
            "category": draw(st.sampled_from(["marketing", "marketing", "transactional"])),
            "entry": {"events": draw(st.sampled_from([["order"], ["view"], ["order", "view"]]))},
            "when_capped": draw(
                st.sampled_from(
                    [
                        {"action": "drop"},
                        {"action": "defer", "expires_after": "2h"},
                        {"action": "defer", "expires_after": "5d"},
                    ]
                )
            ),
            "reentry": draw(
                st.sampled_from(
                    [{"mode": "always"}, {"mode": "always"}, {"mode": "cooldown", "cooldown": "5h"}]
                )
            ),
            "holdout": draw(st.sampled_from([0, 0, 0, 100])),
            "group": draw(st.sampled_from([None, None, "g"])),
            "arbitration_window": draw(st.sampled_from([None, None, None, "1h"])),
            "in_quiet_hours": draw(st.sampled_from(["defer", "drop"])),
        }
        triggers.append(trigger(f"t{number}", **fields))
    scopes: list[dict[str, str]] = [
        {},
        {},
        {"kind": "category", "value": "marketing"},
        {"kind": "category", "value": "transactional"},
        {"kind": "channel", "value": "log"},
    ]
    marketing = [one.id for one in triggers if one.category == "marketing"]
    if marketing:
        scopes.append({"kind": "trigger", "value": marketing[0]})
    policies = [
        policy(
            f"p{number}",
            draw(st.integers(1, 3)),
            draw(st.sampled_from(["1h", "24h", "3d", "day", "week", "month"])),
            **draw(st.sampled_from(scopes)),
        )
        for number in range(draw(st.integers(1, 3)))
    ]
    zone = draw(st.sampled_from(ZONES))
    nights = [{"start": "22:00", "end": "02:15"}, {"start": "07:50", "end": "08:00"}]
    return bundle(
        *triggers,
        *policies,
        time_zone=zone,
        message_id_window="400d",
        quiet_hours=draw(st.sampled_from([[], nights])),
    )


steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            ["event", "event", "event", "duplicate", "accepted", "failed", "failed", "tick"]
        ),
        after=st.one_of(
            st.sampled_from([0, 1, HOUR, HOUR - 1, DAY, DAY - 1, DAY + 1, 23 * HOUR]),
            st.integers(0, 30 * MINUTE),
            st.integers(0, 2 * DAY),
        ),
        edge=st.sampled_from([None, None, None, -1, 0, 1]),
        name=st.sampled_from(["order", "order", "view"]),
        late=st.sampled_from([0, 0, 0, HOUR, 2 * DAY]),
        which=st.integers(0, 9),
    ),
    max_size=30,
)
starts = st.sampled_from(
    [at("2026-03-28T20:00:00"), at("2026-10-24T20:00:00"), at("2026-04-23T12:00:00")]
)


def play(log: Log, given_steps: list[Step]) -> tuple[dict[str, int], Counter[str]]:
    """Play steps; gives how many decisions preceded each failure, and the candidates."""
    given_up: dict[str, int] = {}
    judged: set[str] = set()
    candidates: Counter[str] = Counter()
    played: list[str] = []
    for step in given_steps:
        now = log.now + step.after
        if step.edge is not None and log.out.decisions:
            frees_at = log.out.decisions[-1].details.get("frees_at", now)
            now = max(log.now, frees_at + step.edge)
        # A worker's ticks come at least as often as something is due.
        while (due := log.state.wake_at) is not None and due <= now:
            log.wake(due)
        if step.kind == "event":
            id_ = f"e{len(played)}"
            played.append(id_)
            log.event(step.name, now=now, occurred_at=now - step.late, id_=id_)
            if step.late <= DAY:
                for rule in log.rules.triggers.values():
                    if step.name in rule.trigger.entry.events:
                        candidates[f"{rule.trigger.id}/{id_}"] += 1
        elif step.kind == "duplicate" and played:
            before = len(log.out.commands)
            log.event(step.name, now=now, id_=played[-1])
            assert len(log.out.commands) == before
        elif step.kind in ("accepted", "failed") and log.out.commands:
            command = log.out.commands[-1 - step.which % len(log.out.commands)]
            if command.send_id not in judged and step.kind == "failed":
                given_up[command.send_id] = len(log.out.decisions)
            judged.add(command.send_id)
            log.delivery(command.send_id, "failed" if step.kind == "failed" else "accepted",
                         now=now)  # fmt: skip
        else:
            log.wake(now)
    return given_up, candidates


@settings(max_examples=150, deadline=None)
@given(bundles(), steps, starts)
def test_no_cap_is_ever_exceeded_and_no_send_lost_or_doubled(
    definitions: Bundle, given_steps: list[Step], start: Micros
) -> None:
    log = Log(rules=compile_rules(definitions), now=start)
    given_up, candidates = play(log, given_steps)
    zone = definitions.workspace.time_zone
    sends = audit.sends_of(log.out, given_up)
    audit.no_cap_exceeded(definitions, sends, zone)
    audit.refusals_justified(definitions, log.out.decisions, sends, zone)
    audit.nothing_lost_nothing_twice(log.state, log.out, candidates)
    audit.cooldowns_kept(definitions, log.out.decisions)
    audit.nobody_woken(definitions, sends, zone)
    audit.held_out_never_sent(definitions, sends)
    # Each event is its own key here, and came once: nothing is a second candidate.
    assert Outcome.DEDUP not in log.outcomes()


@settings(max_examples=75, deadline=None)
@given(bundles(), steps, starts)
def test_replay_gives_the_same_bytes_whether_or_not_workers_restart(
    definitions: Bundle, given_steps: list[Step], start: Micros
) -> None:
    runs = []
    for reload in (False, False, True):
        log = Log(rules=compile_rules(definitions), now=start, reload=reload)
        play(log, given_steps)
        put_out = (log.out.commands, log.out.decisions, log.out.profiles)
        runs.append((encode_json(put_out), encode_state(log.state)))
    assert runs[0] == runs[1] == runs[2]
