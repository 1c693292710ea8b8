"""Two to four people, their logs, links between them that are slow, and workers that crash.

Whatever happens: nothing is counted twice or lost, nobody waits for ever, caps hold over all
that is one person, and the same log gives the same bytes.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.decision import Decision, Outcome
from services.contracts.time import HOUR, MINUTE, Micros
from services.triggers.engine import Outputs, compile_rules
from tests.engine.build import bundle, policy, tag, trigger
from tests.engine.people import ANN, BOB, CAT, DAN, People

NAMES = [ANN, BOB, CAT, DAN]
LIMIT = 2
WINDOW = 6 * HOUR
CARTS_MAX = 12

LEFT: dict[str, Any] = {
    "after": {"events": ["cart"]},
    "without": {"events": ["never"]},
    "within": "30m",
    "key": ["id"],
}
DEFER = {"action": "defer", "expires_after": "3d"}
RULES = compile_rules(
    bundle(
        *(
            tag(f"of_{name}", events=["order", "cart"],
                where={"property": "who", "op": "eq", "value": name})
            for name in NAMES
        ),
        trigger("hello", when_capped=DEFER),
        trigger("left", entry={"absence": LEFT}, when_capped=DEFER, priority=60),
        trigger("once", entry={"events": ["cart"]}, reentry={"mode": "once"}, when_capped=DEFER),
        policy("cap", LIMIT, "6h"),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One thing that happens; `who` and `other` are places among the people."""

    kind: str
    who: int
    other: int
    lazy: bool


steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            ["order", "order", "cart", "alias", "alias", "identify", "deliver", "deliver",
             "deliver", "fold", "keep", "crash", "time", "verdict", "wake"]
        ),
        who=st.integers(0, 3),
        other=st.integers(0, 3),
        lazy=st.booleans(),
    ),
    max_size=45,
)  # fmt: skip


@dataclass(kw_only=True)
class Model:
    """What was done, kept by the plainest means; it looks on while the engine works."""

    count: int
    people: People = field(default_factory=lambda: People(rules=RULES))
    done: Counter[str] = field(default_factory=Counter)
    carts: list[str] = field(default_factory=list)
    claims: dict[str, set[str]] = field(default_factory=dict)
    sent: dict[str, tuple[str, Micros]] = field(default_factory=dict)
    """Each send: whose it was then, and when."""
    failed: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.people.watched = self.look
        for name in NAMES[: self.count]:
            self.people.person(name)

    def do(self, step: Step) -> None:
        people, fold = self.people, not step.lazy
        who, other = NAMES[step.who % self.count], NAMES[step.other % self.count]
        if step.kind in ("order", "cart"):
            self.act(who, step.kind, fold=fold)
        elif step.kind in ("alias", "identify"):
            if who != other:
                self.claims.setdefault(other, set()).add(who)
            (people.alias if step.kind == "alias" else people.identify)(who, other, fold=fold)
        elif step.kind == "deliver":
            links = people.waiting()
            if links:
                people.deliver(*links[step.other % len(links)], fold=fold)
        elif step.kind == "fold":
            people.fold(who, people.person(who).folded + 1)
        elif step.kind == "time":
            people.now += [1, MINUTE, HOUR, 5 * HOUR][step.other]
        elif step.kind == "verdict":
            self.judge(step, fold=fold)
        elif step.kind == "wake":
            people.put(who, None, fold=fold)
        else:
            (people.keep if step.kind == "keep" else people.crash)(who)

    def act(self, who: str, kind: str, *, fold: bool) -> None:
        if kind == "cart":
            if len(self.carts) >= CARTS_MAX:
                return
            self.carts.append(f"cart-{len(self.carts)}")
        id_ = self.carts[-1] if kind == "cart" else None
        self.done[who] += 1
        self.people.event(who, kind, {"who": who, "id": id_}, fold=fold, id_=id_)

    def judge(self, step: Step, *, fold: bool) -> None:
        """A verdict on a send, to the log of whoever it was decided for."""
        open_ = [one for one in self.sent if one not in self.judged]
        if open_:
            send = open_[step.who % len(open_)]
            self.judged.add(send)
            if step.other % 2:
                self.failed.add(send)
            status = "failed" if step.other % 2 else "accepted"
            self.people.delivery(self.sent[send][0], send, status, fold=fold)  # type: ignore[arg-type]

    def look(self, out: Outputs) -> None:
        """Hold every new send against all that is known to be the same person by now."""
        for command in out.commands:
            who, now = command.person, command.decided_at
            assert command.send_id not in self.sent, "sent twice"
            assert not self.people.asked(who), "sent while somebody was asked for"
            self.sent[command.send_id] = who, now
            counted = [
                send
                for send, (sender, at) in self.sent.items()
                if send not in self.failed and now - WINDOW < at <= now and self.is_of(sender, who)
            ]
            assert len(counted) <= LIMIT, "a cap was exceeded"

    def is_of(self, name: str, who: str) -> bool:
        """Whether the addresses lead from one to the other."""
        for _ in range(self.count):
            if name == who:
                return True
            name = self.people.state(name).merged_into or name
        return False

    def end(self) -> None:
        """Everything arrives; then nothing may be missing, and nobody wait for anything."""
        people = self.people
        people.settle()
        homes = {name: people.home(name) for name in NAMES[: self.count]}
        living = sorted(set(homes.values()))
        assert {name: people.noticed(name) for name in homes} == homes
        for name in living:
            assert people.asked(name) == []
            for other, home in homes.items():
                expected = self.done[other] if home == name else 0
                assert people.tag(name, f"of_{other}") == expected
        self.check_claims(homes)
        self.check_verdicts(living)
        for _ in range(4 * len(people.out.decisions) + 20):
            # Till all that waits has been sent or is over.
            people.now += HOUR
            for name in living:
                people.wake(name)
        self.check_runs(living)

    def check_claims(self, homes: dict[str, str]) -> None:
        """Whom only one claims is not refused: so who is linked is one."""
        if all(len(by) == 1 for by in self.claims.values()):
            for other, (by,) in self.claims.items():
                assert homes[other] == homes[by]

    def check_verdicts(self, living: list[str]) -> None:
        sendings = [self.people.state(name).sending for name in living]
        accepted = sum(one.accepted for one in sendings if one is not None)
        failed = sum(one.failed for one in sendings if one is not None)
        assert (accepted, failed) == (len(self.judged - self.failed), len(self.failed))

    def check_runs(self, living: list[str]) -> None:
        """Every run that was put off came to one end; every cart was missed once."""
        decisions = self.people.out.decisions
        ends = Counter(one.run_id for one in decisions if one.run_id and not _waits(one))
        waited = {one.run_id for one in decisions if one.run_id and _waits(one)}
        assert all(count == 1 for count in ends.values())
        assert waited <= set(ends)
        assert not any(state.sending.runs for name in living
                       if (state := self.people.state(name)).sending is not None)  # fmt: skip
        runs = {(one.event_id, one.run_id) for one in decisions if one.trigger == "left"}
        assert {event for event, _ in runs} == set(self.carts)
        assert all(count == 1 for count in Counter(e for e, run in runs if run).values())


def _waits(one: Decision) -> bool:
    return "deferred_until" in one.details


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 4), steps)
def test_people_who_turn_out_to_be_one_lose_nothing_and_get_nothing_twice(
    count: int, happens: list[Step]
) -> None:
    model = Model(count=count)
    for step in happens:
        model.do(step)
    model.end()


CRASH, LATER = Step("crash", 1, 0, lazy=False), Step("time", 0, 2, lazy=False)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.permutations(range(12)), steps)
# What is asked again is refused, and that may overtake a state that is still on its way round.
@example(3, [0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 11], [CRASH])
@example(4, [2, 6, 5, 3, 9, 0, 1, 7, 8, 4, 10, 11], [LATER])
def test_rings_of_people_who_ask_each_other_come_to_one_end(
    count: int, order: list[int], happens: list[Step]
) -> None:
    """Everybody asks the next before anybody has heard of it; then whatever order."""
    model = Model(count=count)
    for who in range(count):
        model.act(NAMES[who], "order", fold=True)
    for who in range(count):
        model.do(Step("alias", who, who + 1, lazy=False))
    for pick in order:
        model.do(Step("deliver", 0, pick, lazy=False))
        model.do(Step("order", pick, 0, lazy=False))
    for step in happens:
        if step.kind not in ("alias", "identify"):
            model.do(step)
    model.end()
    assert len({model.people.home(name) for name in NAMES[:count]}) == 1
    assert Outcome.SENT in {one.outcome for one in model.people.out.decisions}
