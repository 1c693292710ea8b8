"""Tags that cannot be derived, and tags that say too little or too much, are refused."""

from typing import Any

import msgspec
import pytest

from services.contracts.definitions import Tag, Trigger
from services.triggers.engine import check
from services.triggers.engine.limits import TAG_READS_MAX, TAGS_READS_MAX
from tests.engine.build import bundle, tag, trigger
from tests.engine.tagging import TAGS, derived

ORDERS, TOP, LAST = tag("orders"), tag("top", "top_k"), tag("last", "last")
BASE = (ORDERS, TOP, LAST, derived("level", bands={"of": "orders", "bands": [{"label": "any"}]}))
BG_NBD = {"r": 0.25, "alpha": 4.4, "a": 0.8, "b": 2.4}
ALIVE = {
    "model": "bg_nbd", "output": "alive", "frequency": "orders", "recency": "orders",
    "tenure": "orders", "parameters": BG_NBD,
}  # fmt: skip


def problems(*definitions: Tag | Trigger) -> list[tuple[str, str]]:
    return check(bundle(*BASE, *definitions))


def bands(*pairs: tuple[float | None, float | None]) -> dict[str, Any]:
    given = [
        {
            "label": f"l{number}",
            **({} if from_ is None else {"from": from_}),
            **({} if below is None else {"below": below}),
        }
        for number, (from_, below) in enumerate(pairs)
    ]
    return {"bands": {"of": "orders", "bands": given}}


def cuts(*given: float) -> dict[str, Any]:
    return {"score": {"of": "orders", "cuts": list(given)}}


def cases(**when: Any) -> dict[str, Any]:
    return {"cases": [{"label": "one", "when": when}]}


def test_every_way_to_derive_a_tag_passes_where_it_is_right() -> None:
    described = msgspec.structs.replace(
        ORDERS, id="n", layer="behaviour", source="shop", owner="crm", review_by="2026-12-31"
    )
    value = {"model": "gamma_gamma", "output": "value", "frequency": "orders", "monetary": "last"}
    right = (
        derived("a", predict=ALIVE),
        derived("b", predict={**ALIVE, "output": "purchases", "horizon": "90d"}),
        derived("c", predict={**value, "parameters": {"p": 6.2, "q": 3.7, "v": 15.4}}),
        derived("d", age_of="birthday"),
        derived("e", trait="city"),
        derived("f", **bands((None, 1), (2, 2.5), (2.5, None))),
        derived("g", **cuts(1, 1, 1, 1)),
        derived("h", cases=[{"label": "x", "when": {"tag": "level", "op": "eq", "value": "any"}}]),
        described,
    )
    assert check(bundle(*TAGS)) == []
    assert problems(*right) == []


@pytest.mark.parametrize(
    ("derive", "place", "reason"),
    [
        ({}, "", "exactly one of trait"),
        ({"trait": "a", "age_of": "b"}, "", "found trait, age_of"),
        ({"trait": "a", "otherwise": "b"}, ".otherwise", "belongs to cases"),
        ({"ratio": {"of": "nope", "to": 1}}, ".ratio.of", "unknown tag 'nope'"),
        ({"ratio": {"of": "orders", "to": "top"}}, ".ratio.to", "is a list"),
        ({"ratio": {"of": "level", "to": 2}}, ".ratio.of", "is a label"),
        ({"ratio": {"of": "orders", "to": 0}}, ".ratio.to", "nothing can be divided"),
        ({"total": {"terms": [{"of": "orders"}, {"of": "x"}]}}, ".total.terms[1].of", "unknown"),
        (
            {"total": {"terms": [{"of": "orders", "times": float("nan")}]}},
            ".total.terms[0].times",
            "finite",
        ),
        (bands((0, 2), (1, 3)), ".bands.bands[1].from", "overlaps 'l0', which ends below 2"),
        (bands((2, 3), (0, 1)), ".bands.bands[1].from", "overlaps 'l0'"),
        (bands((0, None), (1, 3)), ".bands.bands[1].from", "overlaps 'l0', which has no end"),
        (bands((0, 1), (None, 3)), ".bands.bands[1].from", "only the first band"),
        (bands((2, 2)), ".bands.bands[0].below", "nothing is from 2 on and below 2"),
        (bands((0, float("inf"))), ".bands.bands[0]", "finite"),
        (cuts(1, 3, 2, 4), ".score.cuts[2]", "cuts ascend, and 2 is below 3"),
        (cuts(1, 2, 3), ".score.cuts", "length >= 4"),
        (cuts(1, 2, 3, float("nan")), ".score.cuts[3]", "finite"),
        (cases(tag="level", op="eq", value="none"), ".cases[0].when.value", "none of the labels"),
        (cases(tag="level", op="gt", value="a"), ".cases[0].when.op", "is a label"),
        (cases(tag="nope", op="exists"), ".cases[0].when.tag", "unknown tag"),
        (cases(property="a", op="exists"), ".cases[0].when.property", "no event"),
        (cases(segment="vip"), ".cases[0].when.segment", "none can be asked here"),
        ({"predict": {**ALIVE, "output": "value"}}, ".predict.output", "alive and purchases"),
        ({"predict": {**ALIVE, "tenure": "top"}}, ".predict.tenure", "is a list"),
        (
            {"predict": {name: one for name, one in ALIVE.items() if name != "tenure"}},
            ".predict.tenure",
            "needs this tag",
        ),
        ({"predict": {**ALIVE, "parameters": {"r": 1}}}, ".predict.parameters", "not those of"),
        ({"predict": {**ALIVE, "horizon": "3000d"}}, ".predict.horizon", "at most 440 days"),
    ],
)
def test_what_cannot_be_derived_is_refused_where_it_is_wrong(
    derive: dict[str, Any], place: str, reason: str
) -> None:
    plain = {"id": "a", "derive": derive}
    try:
        [(told, why)] = problems(msgspec.convert(plain, Tag))
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at `$")
        told = "tags.a" + path.rstrip("`")
    assert told == f"tags.a.derive{place}"
    assert reason in why


def test_a_tag_cannot_be_made_of_itself() -> None:
    def of(id_: str, other: str) -> Tag:
        return derived(id_, ratio={"of": other, "to": 2})

    assert problems(of("a", "b"), of("b", "c"), of("c", "b")) == [
        ("tags.c.derive.ratio.of", "a tag cannot be made of itself: b of c of b")
    ]
    assert problems(of("a", "a")) == [
        ("tags.a.derive.ratio.of", "a tag cannot be made of itself: a of a")
    ]
    diamond = derived("d", total={"terms": [{"of": "b"}, {"of": "c"}]})
    assert problems(of("b", "a"), of("c", "a"), of("a", "orders"), diamond) == []


def test_tags_that_would_take_too_long_to_read_are_refused() -> None:
    twice = [
        derived(f"t{n + 1}", total={"terms": [{"of": f"t{n}"}, {"of": f"t{n}"}]}) for n in range(8)
    ]
    [(place, reason)] = problems(derived("t0", age_of="birthday"), *twice)
    assert (place, f"at most {TAG_READS_MAX}" in reason) == ("tags.t8.derive", True)
    wide = {"terms": [{"of": "orders"}] * 20}
    many = [derived(f"t{n}", total=wide) for n in range(101)]
    [(place, reason)] = problems(*many)
    assert (place, f"at most {TAGS_READS_MAX}" in reason) == ("tags", True)
    assert problems(*many[:99]) == []


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({}, "aggregate", "required"),
        ({"aggregate": "count"}, "events", "required"),
        ({"derive": {"trait": "a"}, "events": ["order"]}, "events", "a derived tag takes none"),
        ({"derive": {"trait": "a"}, "window": "1d"}, "window", "a derived tag takes none"),
        ({"derive": {"trait": "a"}, "aggregate": "count"}, "aggregate", "takes none"),
        ({"aggregate": "recency", "window": "30d", "events": ["a"]}, "window", "a whole life"),
        ({"aggregate": "tenure", "value": "a", "events": ["a"]}, "value", "takes no value"),
        ({"aggregate": "sum", "moment": "hour", "events": ["a"]}, "moment", "not with sum"),
        (
            {"aggregate": "last", "moment": "hour", "value": "a", "events": ["a"]},
            "moment",
            "one of the two",
        ),
        (
            {"aggregate": "last", "value": "a", "minus": {"events": ["b"]}, "events": ["a"]},
            "minus",
            "count and sum",
        ),
        (
            {"aggregate": "count", "minus": {"events": ["b"], "value": "a"}, "events": ["a"]},
            "minus.value",
            "takes no value",
        ),
        (
            {"aggregate": "count", "minus": {"events": ["$track"]}, "events": ["a"]},
            "minus.events[0]",
            "no name of an event",
        ),
        (
            {"aggregate": "count", "events": ["a"], "minus": {
                "events": ["b"], "where": {"tag": "orders", "op": "exists"}}},
            "minus.where.tag",
            "cannot depend on tags",
        ),
        ({"derive": {"trait": "a"}, "review_by": "2026-02-30"}, "review_by", "no such day"),
    ],
)  # fmt: skip
def test_a_tag_with_fields_that_do_not_go_together_is_refused(
    fields: dict[str, Any], place: str, reason: str
) -> None:
    [(told, why)] = problems(msgspec.convert({"id": "a", **fields}, Tag))
    assert told == f"tags.a.{place}"
    assert reason in why


@pytest.mark.parametrize(
    ("entry", "place", "reason"),
    [
        ({"threshold": {"tag": "level", "direction": "up", "bound": 1}}, "threshold.tag", "label"),
        (
            {"tag_change": {"tag": "level", "change": "entered", "op": "eq", "value": "all"}},
            "tag_change.value",
            "'all' is none of the labels of 'level': any",
        ),
        (
            {"threshold": {"tag": "since", "direction": "down", "bound": 0}},
            "threshold.bound",
            "a recency is never below 0",
        ),
    ],
)
def test_an_entry_that_asks_a_derived_tag_for_what_it_never_is_is_refused(
    entry: dict[str, Any], place: str, reason: str
) -> None:
    since = tag("since", "recency", value=None)
    [(told, why)] = problems(since, trigger("t", entry=entry))
    assert told == f"triggers.t.entry.{place}"
    assert reason in why


def test_a_count_less_what_was_given_back_can_be_below_nought() -> None:
    net = tag("net", minus={"events": ["refund"]})
    below = {"threshold": {"tag": "net", "direction": "down", "bound": 0}}
    assert problems(net, trigger("t", entry=below)) == []


def test_a_problem_of_one_tag_is_told_once_and_not_of_all_that_are_made_of_it() -> None:
    wrong = tag("wrong", "sum", value=None)
    told = problems(wrong, derived("a", ratio={"of": "wrong", "to": 2}))
    assert [place for place, _ in told] == ["tags.wrong.value"]
