"""Steps that cannot be right are refused with place and reason, and those alone."""

from typing import Any

import pytest

from services.contracts.steps import STEPS_EASY, STEPS_MAX
from services.triggers.engine import check
from services.triggers.engine.lint import warnings
from tests.engine.build import bundle, policy, tag, trigger

SEND = {"send": {"channel": "log"}}
END = {"end": {"result": "woken"}}
WAIT = {"wait": {"for": "1d"}}
TAG = {"tag": {"set": "vip"}}
OFFER = {"offer": {"kind": "coupon", "endpoint": "shop", "reference": "ten"}}
TASK = {"handoff": {"to": "service", "endpoint": "crm", "content": {"subject": "Call them"}}}
PAID = {"property": "paid", "op": "eq", "value": True}
GOLD = {"trait": "tier", "op": "eq", "value": "gold"}


def branch(then: list[Any], other: list[Any], if_: dict[str, Any] = GOLD) -> dict[str, Any]:
    return {"branch": {"if": if_, "then": then, "else": other}}


def wait_for(then: list[Any], timeout: list[Any], **fields: Any) -> dict[str, Any]:
    given = {"events": ["visit"], "within": "3d", "then": then, "on_timeout": timeout}
    return {"wait_for": {**given, **fields}}


def split(*arms: list[Any], **labels: str) -> dict[str, Any]:
    return {"split": {"arms": [{"weight": 1, "steps": steps} for steps in arms]}}


def nested(depth: int) -> dict[str, Any]:
    """A step with so many lists around its innermost send, its own one counted."""
    if depth == 1:
        return SEND
    return branch([nested(depth - 1)], [], {"trait": f"t{depth}", "op": "exists"})


def problems(*steps: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    found = check(bundle(tag("orders"), trigger("t", steps=list(steps), **fields)))
    return [(place.removeprefix("triggers.t."), reason) for place, reason in found]


@pytest.mark.parametrize(
    "steps",
    [
        [SEND, WAIT, SEND, END],
        [{"wait": {"until": "09:00"}}, SEND],
        [{"send": {"channel": "wecom", "content": {"body": "b"}, "endpoint": "team"}}],
        [{"wait": {"for": "366d", "until": "23:59"}}, OFFER],
        [wait_for([SEND], [SEND, END], key=["order_id"], where=PAID), TASK],
        [wait_for([], []), TAG],
        [branch([SEND], []), TAG],
        [branch([END], [SEND])],
        [split([SEND], []), END],
        [{"tag": {"remove": "vip"}}],
        [{"tag": {"set": "level", "value": 3}}],
        [nested(5)],
        [branch([SEND, END], []), SEND],
        # Asked again when it may have changed meanwhile.
        [branch([SEND], [WAIT, branch([SEND], [TASK])])],
        [branch([SEND, branch([TASK], [])], [])],
        [branch([wait_for([branch([SEND], [TASK])], [])], [])],
        # That not both hold says of neither that it does not.
        [branch([SEND], [branch([TASK], [])], {"all": [GOLD, PAID]})],
        # Nobody knows by which way it was come to.
        [branch([OFFER], []), branch([TASK], [])],
        [branch([SEND], [branch([SEND], [], {"tag": "orders", "op": "gt", "value": 1})])],
    ],
)
def test_right_steps_have_no_problems(steps: list[dict[str, Any]]) -> None:
    assert problems(*steps) == []


NO_TAG = {"tag": "nope", "op": "exists"}


@pytest.mark.parametrize(
    ("steps", "place", "reason"),
    [
        ([{}], "steps[0]", "found none"),
        ([{**SEND, **WAIT}], "steps[0]", "found send, wait"),
        ([branch([SEND, {}], [])], "steps[0].branch.then[1]", "exactly one of send, wait"),
        ([SEND] * 18 + [branch([SEND, SEND], [])], "steps", "21 with the inner ones, at most 20"),
        ([nested(6)], ".branch.then[0]".join(["steps[0]"] + [""] * 4) + ".branch.then", "deeper"),
        ([{"wait": {}}, SEND], "steps[0].wait", "`for` or `until`"),
        ([{"wait": {"for": "367d"}}, SEND], "steps[0].wait.for", "longer than 366d"),
        ([{"wait": {"for": "9999d"}}, SEND], "steps[0].wait.for", "ten years"),
        ([wait_for([SEND], [], within="9000h")], "steps[0].wait_for.within", "longer than 366d"),
        ([wait_for([SEND], [], events=["$x"])], "steps[0].wait_for.events[0]", "no name"),
        ([wait_for([SEND], [], key=["a", "a"])], "steps[0].wait_for.key[1]", "there already"),
        ([wait_for([SEND], [], where=NO_TAG)], "steps[0].wait_for.where.tag", "unknown tag"),
        (
            [SEND, branch([wait_for([branch([SEND], [], NO_TAG)], [])], [])],
            "steps[1].branch.then[0].wait_for.then[0].branch.if.tag", "unknown tag 'nope'",
        ),
        ([branch([], []), SEND], "steps[0].branch", "no step on either way"),
        ([split([], []), SEND], "steps[0].split.arms", "no step on any way"),
        ([WAIT, END], "steps", "nothing comes of it"),
        ([{"tag": {}}], "steps[0].tag", "found none"),
        ([{"tag": {"set": "a", "remove": "b"}}], "steps[0].tag", "found both"),
        ([{"tag": {"set": "consent"}}], "steps[0].tag.set", "the person's to give"),
        ([{"tag": {"remove": "consent"}}], "steps[0].tag.remove", "the person's to give"),
        ([{"tag": {"set": "x" * 101}}], "steps[0].tag.set", "longer than 100"),
        ([{"tag": {"set": "a", "value": None}}], "steps[0].tag.value", "with `remove`"),
        ([{"tag": {"set": "a", "value": "é" * 600}}], "steps[0].tag.value", "longer than 1019"),
        ([{"tag": {"set": "a", "value": float("inf")}}], "steps[0].tag.value", "finite"),
        ([{"tag": {"remove": "a", "value": 3}}], "steps[0].tag.value", "takes none"),
        (
            [wait_for([{"send": {"channel": "webhook"}}], [])],
            "steps[0].wait_for.then[0].send.endpoint", "needs the name",
        ),
        (
            [split([SEND], [{"send": {"channel": "mail", "content": {"body": "b"}}}])],
            "steps[0].split.arms[1].steps[0].send.content.subject", "needs a subject",
        ),
        ([{"send": {"channel": "sms"}}], "steps[0].send.content", "a subject or a body"),
        (
            [{"send": {"channel": "push", "content": {"body": "b"}, "endpoint": "app"}}],
            "steps[0].send.endpoint", "channel push has no endpoints",
        ),
        (
            [{"send": {"channel": "sms", "content": {"body": "b", "html": "<b>b</b>"}}}],
            "steps[0].send.content.html", "channel sms knows no HTML",
        ),
        (
            [{"handoff": {"to": "sales", "endpoint": "crm"}}],
            "steps[0].handoff.content.subject", "needs a title",
        ),
    ],
)  # fmt: skip
def test_a_wrong_step_is_refused_where_it_is_wrong(
    steps: list[dict[str, Any]], place: str, reason: str
) -> None:
    [(told, why)] = problems(*steps)
    assert told == place
    assert reason in why


def test_two_ways_of_a_split_with_one_label_are_refused() -> None:
    arms = [{"weight": 1, "label": label, "steps": [SEND]} for label in ("a", "b", "a")]
    places = [place for place, _ in problems({"split": {"arms": arms}})]
    assert places == ["steps[0].split.arms[0].label", "steps[0].split.arms[2].label"]


@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ([SEND, END, WAIT, SEND], "steps[2]"),
        ([branch([SEND, END], [END]), SEND], "steps[1]"),
        ([wait_for([SEND, END], [END]), SEND], "steps[1]"),
        ([split([END], [SEND, END]), SEND], "steps[1]"),
        ([branch([END, SEND], [])], "steps[0].branch.then[1]"),
        ([branch([SEND, branch([END], [END], PAID), TAG], [])], "steps[0].branch.then[2]"),
    ],
)
def test_what_no_way_leads_to_is_refused(steps: list[dict[str, Any]], place: str) -> None:
    assert problems(*steps) == [(place, "never reached: every way before it ends the run")]


BOTH = {"all": [GOLD, PAID]}


@pytest.mark.parametrize(
    ("steps", "fields", "place", "reason"),
    [
        ([branch([SEND], [branch([TASK], [OFFER])])], {}, ".else[0].branch.if", "never holds"),
        ([branch([branch([SEND], [])], [])], {}, ".then[0].branch.if", "always holds"),
        (
            [branch([branch([SEND], [])], [], BOTH)], {},
            ".then[0].branch.if", "always holds",
        ),
        (
            [branch([SEND], [branch([TASK], [], BOTH)])], {},
            ".else[0].branch.if", "never holds",
        ),
        (
            [branch([SEND], [branch([TASK], [], {"not": GOLD})])], {},
            ".else[0].branch.if", "always holds",
        ),
        # What the entry's event said, it says for ever.
        (
            [branch([SEND], [WAIT, branch([TASK], [], PAID)], PAID)], {},
            ".else[1].branch.if", "never holds",
        ),
        ([branch([SEND], [])], {"audience": GOLD}, ".if", "always holds"),
        (
            [branch([SEND], [], PAID)],
            {"entry": {"events": ["order"], "where": {"not": PAID}}}, ".if", "never holds",
        ),
    ],
)  # fmt: skip
def test_a_branch_whose_answer_is_known_is_refused(
    steps: list[dict[str, Any]], fields: dict[str, Any], place: str, reason: str
) -> None:
    [(told, why)] = problems(*steps, **fields)
    assert told == f"steps[0].branch{place}"
    assert reason in why


def test_a_branch_after_one_whose_other_way_ended_knows_the_answer() -> None:
    [(place, reason)] = problems(branch([SEND, END], []), branch([SEND], []))
    assert place == "steps[1].branch.if"
    assert reason.startswith("never holds here")


@pytest.mark.parametrize("entry", ["inactivity", "date", "schedule"])
def test_a_key_that_no_event_bears_is_refused(entry: str) -> None:
    entries: dict[str, Any] = {
        "inactivity": {"events": ["login"], "lasts": "30d"},
        "date": {"trait": "birthday"},
        "schedule": {"cron": "0 9 * * mon"},
    }
    step = wait_for([SEND], [], key=["sku"])
    [(place, reason)] = problems(step, entry={entry: entries[entry]})
    assert place == "steps[0].wait_for.key"
    assert f"by {entry}" in reason


@pytest.mark.parametrize(
    ("way_out", "fields", "caught"),
    [
        ({}, {}, True),
        ({}, {"where": PAID}, True),
        ({"where": PAID}, {"where": {"all": [PAID, GOLD]}}, True),
        ({"key": ["sku"]}, {"key": ["order_id", "sku"]}, True),
        ({"where": PAID}, {}, False),
        ({"where": PAID}, {"where": GOLD}, False),
        ({"key": ["sku"]}, {}, False),
        ({"key": ["sku"]}, {"key": ["order_id"]}, False),
    ],
)
def test_what_is_waited_for_and_always_an_exit_first_is_refused(
    way_out: dict[str, Any], fields: dict[str, Any], caught: bool
) -> None:
    step = wait_for([SEND], [], events=["look", "visit"], **fields)
    found = problems(step, exit={"events": ["visit"], **way_out})
    expected = "each such 'visit' is an exit, and ends the run first"
    assert found == ([("steps[0].wait_for.events[1]", expected)] if caught else [])


def test_a_cap_on_a_trigger_that_sends_nothing_is_refused() -> None:
    sends = trigger("sends", steps=[WAIT, split([SEND], [])])
    tasks = trigger("tasks", steps=[OFFER, TASK])
    caps = [policy(one.id, 1, "24h", kind="trigger", value=one.id) for one in (sends, tasks)]
    [(place, reason)] = check(bundle(sends, tasks, *caps))
    assert place == "policies.tasks.scope.value"
    assert "it sends nothing" in reason


def test_a_long_journey_and_one_without_a_way_out_are_warned_of() -> None:
    short = [SEND] * (STEPS_EASY - 1) + [WAIT]
    way_out = {"events": ["order"]}
    told = warnings(
        bundle(
            trigger("easy", entry={"events": ["visit"]}, steps=short[::-1], exit=way_out),
            trigger("hard", steps=[SEND, WAIT] + [SEND] * (STEPS_MAX - 3) + [wait_for([], [])]),
            trigger("listens", steps=[wait_for([SEND], [])]),
        )
    )
    assert [place for place, _ in told] == [
        "triggers.hard.steps",
        "triggers.hard.exit",
        "triggers.hard.steps[19].wait_for",
    ]
    assert "20 steps: past 5" in told[0][1]
