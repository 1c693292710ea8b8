"""The report of tags: who uses them, and which nobody does or which went stale."""

from typing import Any

import msgspec

from services.contracts.definitions import Bundle, Tag
from services.contracts.groups import Lifecycle, Segment
from services.contracts.templates import Template
from services.contracts.time import DAY, Micros
from services.triggers.engine import check
from services.triggers.engine.usage import Seen, TagFinding, tag_report, uses
from tests.engine.build import NOON, bundle, tag, trigger
from tests.engine.tagging import derived


def asking(id_: str) -> dict[str, Any]:
    return {"tag": id_, "op": "exists"}


def whole() -> Bundle:
    """Tags `t0` to `t11`, each used once, and `idle`, `first`, `second` that are not."""
    tags: list[Tag] = [tag(f"t{n}") for n in range(12)]
    tags += [tag("idle"), tag("first"), derived("second", ratio={"of": "first", "to": "idle"})]
    tags += [derived("half", ratio={"of": "t0", "to": 2})]
    triggers = [
        trigger("a", entry={"threshold": {
            "tag": "t1", "direction": "up", "bound": 0.5, "share_of": "t2"}}),
        trigger("b", entry={"tag_change": {"tag": "t3", "change": "changed"}}),
        trigger("c", entry={"events": ["x"], "where": {"not": {"all": [asking("t4")]}}},
                audience=asking("t5"), exit={"events": ["y"], "where": asking("t6")}),
        trigger("d", steps=[
            {"branch": {"if": asking("t7"), "then": [{"end": {"result": "a"}}], "else": [
                {"send": {"channel": "log", "content": {"body": "{{ tags.t8 }}"}}}]}},
        ]),
    ]  # fmt: skip
    gone = trigger("gone", audience=asking("idle"), status="archived")
    made = bundle(*tags, *triggers, gone)
    return msgspec.structs.replace(
        made,
        segments=(msgspec.convert({"id": "s", "when": asking("t9")}, Segment),),
        lifecycles=(
            msgspec.convert(
                {"id": "l", "states": ["a", "b"], "initial": "a", "transitions": [
                    {"to": "b", "when": {"any": [asking("t10"), asking("half")]}}]},
                Lifecycle,
            ),
        ),
        templates=(
            msgspec.convert(
                {"id": "m", "content": {"body": "{{ n }}"}, "variables": {
                    "n": {"tag": "t11", "fallback": 0}}},
                Template,
            ),
        ),
    )  # fmt: skip


def report(
    definitions: Bundle, seen: dict[str, Seen] | None = None, now: Micros = NOON, **more: Any
) -> dict[str, TagFinding]:
    more.setdefault("watched_since", 0)
    return {one.id: one for one in tag_report(definitions, seen or {}, now=now, **more)}


def test_every_place_that_can_name_a_tag_is_a_use_of_it() -> None:
    assert check(whole()) == []
    assert uses(whole()) == {
        "t0": ("tags.half.derive.ratio.of",),
        "t1": ("triggers.a.entry.threshold.tag",),
        "t2": ("triggers.a.entry.threshold.share_of",),
        "t3": ("triggers.b.entry.tag_change.tag",),
        "t4": ("triggers.c.entry.where.not.all[0].tag",),
        "t5": ("triggers.c.audience.tag",),
        "t6": ("triggers.c.exit.where.tag",),
        "t7": ("triggers.d.steps[0].branch.if.tag",),
        "t8": ("triggers.d.steps[0].branch.else[0].send.content.body",),
        "t9": ("segments.s.when.tag",),
        "t10": ("lifecycles.l.transitions[0].when.any[0].tag",),
        "half": ("lifecycles.l.transitions[0].when.any[1].tag",),
        "t11": ("templates.m.variables.n.tag",),
        "idle": ("tags.second.derive.ratio.to",),
        "first": ("tags.second.derive.ratio.of",),
        "second": (),
    }


def test_a_word_that_is_spelled_like_a_tag_is_no_use_of_it() -> None:
    handoff = {"to": "sales", "endpoint": "crm", "content": {"subject": "x"}}
    sets = {"set": "t0", "value": "t0"}
    steps = [{"handoff": handoff}, {"tag": sets}, {"send": {"channel": "log"}}]
    where = {"property": "tags", "op": "eq", "value": "tags.t0"}
    named = bundle(tag("sales"), tag("t0"), trigger(steps=steps, audience=where))
    assert uses(named) == {"sales": (), "t0": ()}


def test_a_tag_that_only_unused_ones_are_made_of_is_unused_too() -> None:
    assert [one.id for one in report(whole()).values() if one.unused] == ["first", "idle", "second"]


def test_a_tag_whose_day_of_review_is_over_is_stale() -> None:
    days = ("2026-06-09", "2026-06-10", None)
    tags = [
        msgspec.structs.replace(tag(f"t{number}"), review_by=day) for number, day in enumerate(days)
    ]
    assert [one.stale for one in report(bundle(*tags)).values()] == [("review_due",), (), ()]


def test_a_tag_that_changed_in_nobody_for_long_is_stale() -> None:
    old, now = NOON - 200 * DAY, NOON
    seen = {
        "never": Seen(in_force_since=old),
        "long_ago": Seen(in_force_since=old, changed_at=now - 90 * DAY),
        "lately": Seen(in_force_since=old, changed_at=now - 90 * DAY + 1),
        "new": Seen(in_force_since=now - DAY),
    }
    definitions = bundle(*(tag(one) for one in seen), tag("unknown"))

    def stale(**more: Any) -> set[str]:
        found = report(definitions, seen, **more)
        return {one.id for one in found.values() if one.stale == ("no_change",)}

    assert stale() == {"never", "long_ago"}
    assert stale(stale_after_days=30) == {"never", "long_ago", "lately"}
    assert stale(watched_since=now - 89 * DAY) == set()
    assert stale(watched_since=None) == set()
