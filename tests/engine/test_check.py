"""Wrong definitions are refused with the place and a reason, right ones are not."""

from typing import Any

import msgspec
import pytest

from services.contracts.conditions import Condition
from services.contracts.definitions import Bundle, Policy, Scope, Tag, Trigger, Workspace
from services.contracts.errors import DefinitionError
from services.triggers.engine import check, compile_rules
from services.triggers.engine.tags import tag_key
from tests.engine.build import bundle, policy, tag, trigger


def places(*definitions: Trigger | Tag | Policy, **workspace: Any) -> list[str]:
    return [place for place, _ in check(bundle(*definitions, **workspace))]


def where(**condition: Any) -> Trigger:
    """A trigger `t` with this condition on its entry."""
    return trigger("t", entry={"events": ["order"], "where": condition})


ORDERS = tag("orders")
TOP = tag("top", "top_k")
LAST = tag("last", "last")


def test_right_definitions_have_no_problems() -> None:
    mail = {"channel": "mail", "content": {"subject": "s", "body": "b"}}
    definitions = bundle(
        ORDERS,
        TOP,
        LAST,
        tag("fine", window="3h", bucket="30s"),
        tag("days", "sum", window="30d", bucket="1d", where={"trait": "vip", "op": "exists"}),
        trigger(
            "t",
            entry={
                "events": ["order", "$identify"],
                "where": {
                    "all": [
                        {"tag": "orders", "op": "in", "value": [1, 2.5]},
                        {"tag": "top", "op": "contains", "value": "sku-1"},
                        {"tag": "last", "op": "gte", "value": "2026-01-01"},
                        {"not": {"property": "paid", "op": "ne", "value": True}},
                    ]
                },
            },
            dedup={"key": ["order_id"]},
            reentry={"mode": "once_per_key"},
            steps=[{"send": mail}],
        ),
        policy("p1", 200, "366d"),
        policy("p2", 1, "month", kind="trigger", value="t"),
        policy("p3", 1, "1s", kind="category", value="transactional"),
        time_zone="Europe/Berlin",
    )
    assert check(definitions) == []
    assert compile_rules(definitions).revision == 1
    assert check(Bundle(revision=1)) == []


@pytest.mark.parametrize(
    ("condition", "place", "reason"),
    [
        ({}, "", "exactly one of"),
        ({"property": "a", "tag": "orders", "op": "exists"}, "", "found property, tag"),
        ({"property": "a"}, ".op", "needs an op"),
        ({"all": []}, ".all", "at least one"),
        ({"all": [{"property": "a", "op": "exists"}], "op": "eq"}, "", "op and value"),
        ({"any": [{"property": "a", "op": "exists"}, {}]}, ".any[1]", "exactly one of"),
        ({"not": {"trait": "a"}}, ".not.op", "needs an op"),
        ({"all": [{"tag": "nope", "op": "exists"}]}, ".all[0].tag", "unknown tag 'nope'"),
        ({"tag": "orders", "op": "gt", "value": "3"}, ".value", "is a number, this is a text"),
        ({"tag": "orders", "op": "eq", "value": True}, ".value", "this is a bool"),
        ({"tag": "orders", "op": "in", "value": [1, "2"]}, ".value", "this is a text"),
        ({"tag": "orders", "op": "contains", "value": 1}, ".op", "contains does not apply"),
        ({"tag": "top", "op": "gt", "value": 1}, ".op", "is a list"),
        ({"property": "a", "op": "eq"}, ".value", "not_exists"),
        ({"property": "a", "op": "exists", "value": 1}, ".value", "takes no value"),
        ({"property": "a", "op": "in", "value": 1}, ".value", "needs a list"),
        ({"property": "a", "op": "in", "value": []}, ".value", "needs a list"),
        ({"property": "a", "op": "not_in", "value": [None]}, ".value", "needs a value"),
        ({"property": "a", "op": "in", "value": ["x"] * 501}, ".value", "at most 500"),
        ({"property": "a", "op": "eq", "value": [1]}, ".value", "not a list"),
        ({"property": "a", "op": "gt", "value": True}, ".value", "this is a bool"),
        ({"property": "a", "op": "starts_with", "value": 1}, ".value", "needs a text"),
        ({"property": "a", "op": "eq", "value": "x" * 1001}, ".value", "longer than 1000"),
        ({"property": "a", "op": "eq", "value": float("inf")}, ".value", "finite"),
        (
            {"all": [{"property": "a", "op": "exists"}] * 51},
            "",
            "51 clauses, at most 50",
        ),
    ],
)
def test_a_wrong_condition_is_refused_where_it_is_wrong(
    condition: dict[str, Any], place: str, reason: str
) -> None:
    entry = check(bundle(ORDERS, TOP, where(**condition)))
    assert [told for told, _ in entry] == [f"triggers.t.entry.where{place}"]
    assert reason in entry[0][1]
    audience = check(bundle(ORDERS, TOP, trigger("t", audience=condition)))
    assert [told for told, _ in audience] == [f"triggers.t.audience{place}"]


def test_a_condition_nested_too_deeply_is_refused_however_deep() -> None:
    one = Condition(property="a", op="exists")
    for depth in range(1, 9):
        assert places(trigger("t", audience=msgspec.to_builtins(one))) == [] or depth > 8
        one = Condition(not_=one)
    assert places(trigger("t", audience=msgspec.to_builtins(one))) == [
        "triggers.t.audience" + ".not" * 8
    ]
    for _ in range(5_000):
        one = Condition(not_=one)
    broken = msgspec.structs.replace(trigger("t"), audience=one)
    assert places(broken) == ["triggers.t.audience" + ".not" * 8]


def test_a_tag_cannot_depend_on_tags() -> None:
    wrong = tag("a", where={"tag": "orders", "op": "gt", "value": 1})
    assert places(ORDERS, wrong) == ["tags.a.where.tag"]


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"aggregate": "sum", "value": None}, "value", "sum needs a value"),
        ({"aggregate": "count", "value": "amount"}, "value", "takes no value"),
        ({"window": "4000d"}, "window", "longer than ten years"),
        ({"window": "30"}, "window", "matching regex"),
        ({"bucket": "1h"}, "bucket", "there is none"),
        ({"window": "1h", "bucket": "1h"}, "bucket", "finer than 1m"),
        ({"window": "7d", "bucket": "2h"}, "bucket", "finer than 1h"),
        ({"window": "30d", "bucket": "2d"}, "bucket", "finer than 1d"),
        ({"window": "1h", "bucket": "7s"}, "bucket", "no whole number"),
        ({"window": "7d", "bucket": "1m"}, "bucket", "at most 1100"),
        ({"window": "3600d"}, "window", "at most 1100"),
        ({"events": ["$track"]}, "events[0]", "no name of an event"),
        ({"aggregate": "top_k", "value": "a", "half_life": "999999999d"}, "half_life", "ten years"),
    ],
)
def test_a_wrong_tag_is_refused_where_it_is_wrong(
    fields: dict[str, Any], place: str, reason: str
) -> None:
    given = {"id": "a", "aggregate": "count", "events": ("order",), **fields}
    [(told, why)] = check(bundle(Tag(**given)))
    assert told == f"tags.a.{place}"
    assert reason in why


def test_tags_that_would_take_too_much_of_a_state_are_refused_together() -> None:
    many = [tag(f"t{number}", "first", window="30d", bucket="1h") for number in range(3)]
    [(place, reason)] = check(bundle(*many))
    assert place == "tags"
    assert "bytes of a person's state" in reason


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"reentry": {"mode": "cooldown"}}, "reentry.cooldown", "needs one"),
        ({"reentry": {"mode": "once", "cooldown": "1d"}}, "reentry.cooldown", "takes none"),
        (
            {"reentry": {"mode": "cooldown", "cooldown": "9999999d"}},
            "reentry.cooldown",
            "ten years",
        ),
        ({"reentry": {"mode": "once_per_key"}}, "dedup.key", "needs a key"),
        ({"dedup": {"window": "9999w"}}, "dedup.window", "ten years"),
        ({"send_within": "9999w"}, "send_within", "ten years"),
        (
            {"when_capped": {"action": "defer", "expires_after": "9999w"}},
            "when_capped.expires_after",
            "ten years",
        ),
        ({"entry": {"events": ["order", "$nope"]}}, "entry.events[1]", "no name of an event"),
        ({"steps": [{"send": {"channel": "webhook"}}]}, "steps[0].send.endpoint", "needs the name"),
        (
            {"steps": [{"send": {"channel": "log", "endpoint": "crm"}}]},
            "steps[0].send.endpoint",
            "has no endpoints",
        ),
        (
            {"steps": [{"send": {"channel": "mail", "content": {"subject": " ", "body": "b"}}}]},
            "steps[0].send.content.subject",
            "needs a subject",
        ),
        (
            {"steps": [{"send": {"channel": "mail", "content": {"subject": "s"}}}]},
            "steps[0].send.content.body",
            "needs a body",
        ),
    ],
)
def test_a_wrong_trigger_is_refused_where_it_is_wrong(
    fields: dict[str, Any], place: str, reason: str
) -> None:
    [(told, why)] = check(bundle(trigger("t", **fields)))
    assert told == f"triggers.t.{place}"
    assert reason in why


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({"value": "mail"}, "takes no value"),
        ({"kind": "channel"}, "needs a value"),
        ({"kind": "channel", "value": "pigeon"}, "unknown channel"),
        ({"kind": "category", "value": "spam"}, "unknown category"),
        ({"kind": "trigger", "value": "nope"}, "unknown trigger"),
        ({"kind": "trigger", "value": "receipt"}, "transactional"),
    ],
)
def test_a_caps_wrong_scope_is_refused(scope: dict[str, str], reason: str) -> None:
    receipt = trigger("receipt", category="transactional")
    [(place, why)] = check(bundle(receipt, policy("p", 1, "24h", **scope)))
    assert place == "policies.p.scope.value"
    assert reason in why


@pytest.mark.parametrize(
    ("window", "reason"), [("367d", "longer than 366d"), ("9999w", "ten years"), ("year", "regex")]
)
def test_a_caps_wrong_window_is_refused(window: str, reason: str) -> None:
    [(place, why)] = check(bundle(Policy(id="p", limit=1, window=window)))
    assert place == "policies.p.window"
    assert reason in why


@pytest.mark.parametrize(
    ("definition", "place"),
    [
        (Policy(id="p", limit=201, window="1d"), "policies.p.limit"),
        (Policy(id="p", limit=0, window="1d"), "policies.p.limit"),
        (Policy(id="Not An Id", limit=1, window="1d"), "policies.Not An Id.id"),
        (msgspec.structs.replace(trigger("t"), priority=101), "triggers.t.priority"),
        (msgspec.structs.replace(trigger("t"), steps=()), "triggers.t.steps"),
        (msgspec.structs.replace(tag("a", "top_k"), k=0), "tags.a.k"),
        (msgspec.structs.replace(tag("a"), events=()), "tags.a.events"),
    ],
)
def test_what_breaks_the_schema_is_refused_even_when_made_in_code(
    definition: Trigger | Tag | Policy, place: str
) -> None:
    assert places(definition) == [place]


def test_a_workspace_needs_a_zone_that_exists_and_right_durations() -> None:
    assert places(time_zone="Europe/Atlantis") == ["workspace.time_zone"]
    assert places(late_after="9999w", message_id_window="9999w") == [
        "workspace.late_after",
        "workspace.message_id_window",
    ]
    broken = Bundle(revision=1, workspace=Workspace(message_ids_max=0))
    assert [place for place, _ in check(broken)] == ["workspace.message_ids_max"]


def test_two_definitions_with_one_id_are_refused() -> None:
    assert places(tag("a"), tag("a"), trigger("a"), policy("a"), policy("a")) == [
        "tags.a",
        "policies.a",
    ]


def test_two_tags_that_a_state_would_not_tell_apart_are_refused() -> None:
    one, other = tag("orders_16437"), tag("orders_62208")
    assert tag_key(one) == tag_key(other)
    [(place, reason)] = check(bundle(one, tag("orders"), other))
    assert (place, "fingerprint of orders_16437" in reason) == ("tags.orders_62208", True)
    assert check(bundle(one, tag("orders"))) == []


def test_more_definitions_than_a_workspace_may_have_are_refused() -> None:
    many = [policy(f"p{number}") for number in range(51)]
    assert check(bundle(*many)) == [("policies", "51, at most 50 are allowed")]


def test_every_problem_is_told_at_once() -> None:
    definitions = bundle(
        tag("a", "sum", value=None),
        where(tag="nope", op="exists"),
        Policy(id="p", limit=1, window="1d", scope=Scope(kind="channel")),
        time_zone="Nowhere",
    )
    told = [place for place, _ in check(definitions)]
    assert told == [
        "workspace.time_zone",
        "tags.a.value",
        "triggers.t.entry.where.tag",
        "policies.p.scope.value",
    ]
    with pytest.raises(DefinitionError) as caught:
        compile_rules(definitions)
    assert caught.value.problems == check(definitions)
