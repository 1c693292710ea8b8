"""Conditions: what each operator means, nulls included, and that compiled code agrees."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.conditions import Condition
from services.triggers.engine.clauses import Subjects, failing, holds
from services.triggers.engine.conditions import compile_test
from services.triggers.engine.outputs import Outputs
from services.triggers.engine.reactions import compile_reaction
from services.triggers.engine.state import new_state

MISSING = object()


def condition(**fields: Any) -> Condition:
    return msgspec.convert(fields, Condition)


def run(one: Condition, properties: dict[str, Any], traits: dict[str, Any] | None = None) -> bool:
    state = new_state("ada")
    state.traits = traits or {}
    return compile_test(one, {})(properties, state, 0)


@pytest.mark.parametrize(
    ("op", "actual", "value", "expected"),
    [
        ("eq", 1, 1.0, True),
        ("eq", True, 1, False),
        ("eq", 1, True, False),
        ("eq", False, 0, False),
        ("eq", "1", 1, False),
        ("eq", [1], 1, False),
        ("eq", MISSING, "x", False),
        ("ne", "1", 1, True),
        ("ne", 1, 1.0, False),
        ("ne", MISSING, 1, True),
        ("ne", None, 1, True),
        ("gt", 2, 1, True),
        ("gt", 1, 1, False),
        ("gte", 1.0, 1, True),
        ("gt", True, 0, False),
        ("gt", "2", 1, False),
        ("gt", MISSING, 1, False),
        ("lt", MISSING, 1, False),
        ("lt", "2026-01-02", "2026-01-10", True),
        ("lte", "b", "a", False),
        ("lte", {}, 5, False),
        ("in", "a", ["a", "b"], True),
        ("in", 1.0, [1, 2], True),
        ("in", True, [1, "x"], False),
        ("in", ["a"], ["a"], False),
        ("in", {"a": 1}, ["a"], False),
        ("in", MISSING, ["a"], False),
        ("not_in", "c", ["a", "b"], True),
        ("not_in", MISSING, ["a"], True),
        ("not_in", ["a"], ["a"], True),
        ("contains", "discount code", "code", True),
        ("contains", ["a", 1, True], 1, True),
        ("contains", ["a", True], 1, False),
        ("contains", "5", 5, False),
        ("contains", 55, 5, False),
        ("contains", MISSING, "x", False),
        ("starts_with", "/shop/x", "/shop", True),
        ("starts_with", 12, "1", False),
        ("starts_with", MISSING, "", False),
        ("exists", 0, None, True),
        ("exists", "", None, True),
        ("exists", None, None, False),
        ("exists", MISSING, None, False),
        ("not_exists", MISSING, None, True),
        ("not_exists", False, None, False),
    ],
)
def test_an_operator_means_what_the_docs_say(
    op: str, actual: Any, value: Any, expected: bool
) -> None:
    properties = {} if actual is MISSING else {"p": actual}
    one = condition(property="p", op=op, value=value)
    assert run(one, properties) is expected
    assert holds(one, Subjects(properties, {}, lambda tag: None)) is expected


def test_groups_nest_and_an_empty_path_of_a_nested_value_is_missing() -> None:
    one = condition(
        all=[
            {"any": [{"property": "cart.total", "op": "gt", "value": 10}]},
            {"not": {"trait": "address.country", "op": "eq", "value": "CN"}},
        ]
    )
    assert run(one, {"cart": {"total": 11}}, {"address": {"country": "DE"}})
    assert run(one, {"cart": {"total": 11}}, {"address": "somewhere"})
    assert not run(one, {"cart": {"total": 11}}, {"address": {"country": "CN"}})
    assert not run(one, {"cart": [11]})
    assert not run(one, {})


def test_a_key_spelled_like_a_path_goes_before_the_path() -> None:
    one = condition(property="utm.source", op="eq", value="mail")
    assert run(one, {"utm.source": "mail", "utm": {"source": "web"}})
    assert run(one, {"utm": {"source": "mail"}})


@pytest.mark.parametrize(
    "text",
    ['"); raise SystemExit("', "p.get", "\n", "'", "\\", "{0}", "__import__('os')", "c1", "用户"],
)
def test_what_a_definition_says_is_never_code(text: str) -> None:
    for op in ("eq", "gt", "starts_with", "contains"):
        one = condition(property=text, op=op, value=text)
        assert run(one, {text: text}) is (op != "gt")
    assert run(condition(trait=text, op="in", value=[text]), {}, {text: text})


def test_a_reaction_gives_the_payloads_whose_condition_holds_in_order() -> None:
    big = condition(property="amount", op="gt", value=10)
    react = compile_reaction([], [(big, "big"), (None, "always"), (big, "again")], {})
    out, state = Outputs(), new_state("ada")
    assert react({"amount": 11}, state, 0, 0, False, out)[0] == ("big", "always", "again")
    assert react({}, state, 0, 0, False, out)[0] == ("always",)
    assert react({"amount": 11}, state, 0, 0, True, out)[0] == ()


def test_a_tag_in_a_condition_is_read_through_its_reader() -> None:
    one = condition(tag="orders", op="gte", value=3)
    test = compile_test(one, {"orders": lambda state, now: now})
    assert [test({}, new_state("ada"), now) for now in (2, 3)] == [False, True]


def test_the_failing_clause_is_told_with_its_place_and_value() -> None:
    one = condition(
        all=[
            {"property": "a", "op": "exists"},
            {"any": [{"property": "b", "op": "eq", "value": 1}, {"trait": "c", "op": "exists"}]},
        ]
    )
    told = failing(one, Subjects({"a": 1, "b": 2}, {}, lambda tag: None), "audience")
    assert told == {
        "clause": "audience.all[1].any[0]",
        "property": "b",
        "op": "eq",
        "actual": 2,
        "value": 1,
    }
    assert failing(one, Subjects({"a": 1, "b": 1}, {}, lambda tag: None), "audience") is None


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([0.0, 1.0, 1.5]),
    st.sampled_from(["", "a", "ab", "1"]),
)  # fmt: skip
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.just("x"), scalars))
wanted = st.one_of(st.booleans(), st.integers(-1, 2), st.just(1.5), st.sampled_from(["", "a", "1"]))
names = st.sampled_from(["x", "y", "y.x"])


@st.composite
def clauses(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(
        st.sampled_from(
            ["eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "contains", "starts_with",
             "exists", "not_exists"]
        )
    )  # fmt: skip
    clause: dict[str, Any] = {draw(st.sampled_from(["property", "trait"])): draw(names), "op": op}
    if op in ("in", "not_in"):
        clause["value"] = draw(st.lists(wanted, min_size=1, max_size=3))
    elif op in ("gt", "gte", "lt", "lte"):
        clause["value"] = draw(wanted.filter(lambda value: not isinstance(value, bool)))
    elif op == "starts_with":
        clause["value"] = draw(st.sampled_from(["", "a"]))
    elif op not in ("exists", "not_exists"):
        clause["value"] = draw(wanted)
    return clause


conditions = st.recursive(
    clauses(),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)
people = st.dictionaries(st.sampled_from(["x", "y"]), values)


@given(conditions, people, people)
def test_compiled_conditions_agree_with_walking_them(
    fields: dict[str, Any], properties: dict[str, Any], traits: dict[str, Any]
) -> None:
    one = condition(**fields)
    subjects = Subjects(properties, traits, lambda tag: None)
    compiled = run(one, properties, traits)
    assert compiled is holds(one, subjects)
    # Whatever fails can be explained, and only that.
    assert (failing(one, subjects, "where") is None) is compiled
