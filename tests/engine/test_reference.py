"""The engine and the reference decide alike: every candidate, in every order of things.

Random triggers and workspaces, changed on the way; events that come late, twice or all at one
instant; deliveries that fail; people who move, consent and take it back; ticks that come when
something is due, or too late.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.definitions import Bundle
from services.contracts.time import DAY, HOUR, MINUTE, Micros
from services.triggers.engine import compile_rules
from tests.engine.build import PERSON, Log, at, bundle, policy, trigger
from tests.engine.reference import Line, Reference

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
    "Africa/Cairo",
]  # fmt: skip
STARTS = [
    at("2026-03-28T16:00:00"),
    at("2026-10-24T16:00:00"),
    at("2026-04-04T10:00:00"),
    at("2026-09-05T20:00:00"),
]
TRAITS: list[dict[str, Any]] = [
    {"consent": None},
    {"consent": None},
    {"consent": {"marketing": True}},
    {"consent": {"marketing": True, "mail": True}},
    {"consent": {"marketing": True, "log": False}},
    {"consent": {"log": False}},
    {"consent": {"marketing": False}},
    {"consent": None},
    {"consent": None},
    {"tier": "gold"},
    {"tier": "none"},
    {"vip": True},
    {"vip": False},
    *({"timezone": zone} for zone in ZONES),
]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing in a person's log, `after` the one before it.

    With an `edge` it comes so far from the instant at which the last decision is made again, or
    the last entry's windows end.
    Without `ticks` nothing happened before it, though something may have been due.
    """

    kind: str
    after: Micros
    edge: int | None
    name: str
    key: int
    late: bool
    which: int
    ticks: bool


QUIET = [
    [],
    [{"start": "22:00", "end": "08:00"}],
    [{"start": "22:00", "end": "02:30"}, {"start": "12:00", "end": "14:30", "channels": ["log"]}],
    [{"start": "01:30", "end": "03:00", "channels": ["mail"]}],
]
MAIL = {"channel": "mail", "content": {"subject": "s", "body": "b"}}


@st.composite
def triggers(draw: st.DrawFn, number: int, category: str) -> Any:
    """One trigger of whatever kind, but of this category."""
    always = {"mode": "always"}
    vip = {"trait": "vip", "op": "eq", "value": True}
    return trigger(
        f"t{number}",
        category=category,
        priority=draw(st.sampled_from([10, 50, 90])),
        entry={"events": draw(st.sampled_from([["order"], ["view"], ["order", "view"]]))},
        status=draw(st.sampled_from(["live"] * 14 + ["paused", "archived"])),
        audience=draw(st.sampled_from([None] * 9 + [vip])),
        rollout=draw(st.sampled_from([100] * 9 + [50])),
        holdout=draw(st.sampled_from([0, 0, 0, 50, 100])),
        group=draw(st.sampled_from([None, "g"])),
        arbitration_window=draw(st.sampled_from([None, None, "1h"])),
        in_quiet_hours=draw(st.sampled_from(["defer", "defer", "drop"])),
        dedup=draw(st.sampled_from([{}, {"key": ["k"], "window": "5h"}])),
        reentry=draw(
            st.sampled_from(
                [always] * 5 + [{"mode": "cooldown", "cooldown": "5h"}, {"mode": "once"}]
            )
        ),
        when_capped={
            "action": draw(st.sampled_from(["drop", "defer", "defer"])),
            "expires_after": draw(st.sampled_from(["2h", "24h", "5d"])),
        },
        send_within=draw(st.sampled_from(["1h", "24h"])),
        steps=[{"send": draw(st.sampled_from([{"channel": "log"}, MAIL]))}],
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Bundle]:
    """Definitions that are in force one after the other, under the same caps."""
    categories = [draw(st.sampled_from(["marketing"] * 3 + ["transactional"])) for _ in range(4)]
    scopes: list[dict[str, str]] = [
        {},
        {"kind": "category", "value": "marketing"},
        {"kind": "channel", "value": "log"},
    ]
    policies = [
        policy(
            f"p{number}",
            draw(st.integers(1, 3)),
            draw(st.sampled_from(["1h", "24h", "24h", "3d", "day", "week"])),
            **draw(st.sampled_from(scopes)),
        )
        for number in range(draw(st.integers(1, 2)))
    ]
    zone = draw(st.sampled_from(ZONES))
    tiers = {"trait": "tier", "bonuses": {"gold": 45}}
    return [
        bundle(
            *(draw(triggers(number, category)) for number, category in enumerate(categories)),
            *policies,
            revision=revision,
            time_zone=zone,
            message_id_window="400d",
            consent=draw(st.sampled_from(["opt_out"] * 7 + ["opt_in"])),
            quiet_hours=draw(st.sampled_from(QUIET)),
            value_tiers=draw(st.sampled_from([None, tiers])),
            test_people=draw(st.sampled_from([[], [], [], [PERSON]])),
        )
        for revision in (1, 2)
    ]


steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            ["event"] * 6
            + ["duplicate", "accepted", "failed", "failed", "traits", "publish", "tick"]
        ),
        after=st.one_of(
            st.sampled_from([0, 0, 0, 1, HOUR, HOUR - 1, 5 * HOUR, 5 * HOUR - 1, DAY, DAY - 1]),
            st.integers(0, 30 * MINUTE),
            st.integers(0, 12 * HOUR),
        ),
        edge=st.sampled_from([None, None, None, -1, 0, 1]),
        name=st.sampled_from(["order", "order", "view"]),
        key=st.integers(0, 1),
        late=st.sampled_from([False] * 7 + [True]),
        which=st.integers(0, 20),
        ticks=st.sampled_from([True, True, False]),
    ),
    min_size=8,
    max_size=40,
)


@dataclass(kw_only=True)
class Both:
    """The same log for the engine and the reference; after each record they agree."""

    log: Log
    slow: Reference
    seen: int = 0
    played: int = 0
    told: int = 0
    judged: set[str] = field(default_factory=set)

    def compare(self, expected: list[Line]) -> None:
        """Decisions, commands, and what waits for when."""
        sent = {one.send_id: one for one in self.log.out.commands}
        decisions = self.log.out.decisions[self.seen :]
        self.seen = len(self.log.out.decisions)
        found = [
            Line(
                trigger=one.trigger,
                event_id=one.event_id,
                outcome=one.outcome,
                again_at=one.details.get("deferred_until"),
                winner=one.details.get("winner"),
                priority=sent[one.send_id].priority if one.send_id else None,
                lane=sent[one.send_id].lane if one.send_id else None,
            )
            for one in decisions
        ]
        assert found == expected
        sending = self.log.state.sending
        waiting = [] if sending is None else sending.runs
        assert [(one.trigger, one.event_id, one.due_at) for one in waiting] == [
            (one.trigger, one.event_id, one.due_at) for one in self.slow.waiting
        ]

    def wake(self, now: Micros) -> None:
        """Time came to `now`."""
        self.log.wake(now)
        self.compare(self.slow.moment(now, []))

    def event(self, step: Step, now: Micros) -> None:
        """Something new happened."""
        self.played += 1
        id_ = f"e{self.played}"
        occurred_at = now - 2 * DAY if step.late else now
        self.log.event(step.name, {"k": step.key}, now=now, occurred_at=occurred_at, id_=id_)
        self.compare(self.slow.event(step.name, id_, step.key, now, late=step.late))

    def verdict(self, step: Step, now: Micros) -> None:
        """A delivery comes back; the first one on a send stands."""
        command = self.log.out.commands[-1 - step.which % len(self.log.out.commands)]
        first = command.send_id not in self.judged
        self.judged.add(command.send_id)
        failed = step.kind == "failed"
        self.log.delivery(command.send_id, "failed" if failed else "accepted", now=now)
        if failed and first:
            self.compare(self.slow.give_up(command.trigger, command.event_id, now))
        else:
            self.compare(self.slow.moment(now, []))

    def play(self, step: Step, revisions: list[Bundle]) -> None:
        """One step."""
        now = self.log.now + step.after
        anchors = [one.again_at for one in self.slow.lines[-1:] if one.again_at is not None]
        anchors += [one.at + 5 * HOUR for one in self.slow.entries[-1:]]
        if step.edge is not None and anchors:
            now = max(self.log.now, anchors[step.which % len(anchors)] + step.edge)
        while step.ticks and (due := self.log.state.wake_at) is not None and due <= now:
            self.wake(due)
        if step.kind == "event":
            self.event(step, now)
        elif step.kind == "duplicate" and self.played:
            self.log.event(step.name, now=now, id_=f"e{self.played}")
            self.compare(self.slow.moment(now, []))
        elif step.kind == "traits":
            traits = TRAITS[step.which % len(TRAITS)]
            given = {name: value for name, value in traits.items() if value is not None}
            self.slow.traits = {
                k: v for k, v in self.slow.traits.items() if k not in traits
            } | given
            self.told += 1
            self.log.identify(traits, now=now, id_=f"i{self.told}")
            self.compare(self.slow.moment(now, []))
        elif step.kind in ("accepted", "failed") and self.log.out.commands:
            self.verdict(step, now)
        elif step.kind == "publish":
            definitions = revisions[step.which % len(revisions)]
            self.log.publish(definitions)
            self.slow.bundle = definitions
            self.wake(now)
        else:
            self.wake(now)


@settings(max_examples=150, deadline=None)
@given(histories(), steps, st.sampled_from(STARTS), st.booleans())
def test_the_engine_decides_as_the_reference_does(
    revisions: list[Bundle], given_steps: list[Step], start: Micros, reload: bool
) -> None:
    log = Log(rules=compile_rules(revisions[0]), now=start, reload=reload)
    both = Both(log=log, slow=Reference(bundle=revisions[0], person=PERSON))
    for step in given_steps:
        both.play(step, revisions)
    # Left alone, everything that waits comes to its end.
    while (due := log.state.wake_at) is not None:
        both.wake(due)
    assert both.slow.waiting == []
