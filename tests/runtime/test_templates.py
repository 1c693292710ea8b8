"""Texts with gaps: what they may do, how long, and what they look at."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.errors import Malformed
from services.runtime import templates
from services.runtime.templates import paths_of, render

GROWING = "{{ 'aaaaaaaaaa' " + "| replace: 'a', 'aaaaaaaaaaaaaaaaaaaa'" * 12 + " }}"
SLOW = (
    "{% for i in (1..99) %}{% for j in (1..99) %}"
    "{{ many | sort | uniq | size }}{% endfor %}{% endfor %}"
)


NAMES = st.sampled_from(["a", "size", "first", "last"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, min_size=2, max_size=3)
    ),
    max_leaves=8,
)
GAPS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "{{ " + ".".join(names) + " }}")
SOURCES = st.lists(GAPS | st.sampled_from(["Hi ", " <b>", "{{- a -}}"]), max_size=4).map("".join)


@given(SOURCES, st.dictionaries(NAMES, VALUES, min_size=2, max_size=4), st.booleans())
@example("{{ a }}", {"a": True}, False)
@example("{{ a.size }} {{ a.first }}", {"a": {"b": 1}}, True)
@settings(max_examples=60)
def test_what_is_only_printed_is_printed_as_the_engine_does(
    source: str, values: dict[str, Any], html: bool
) -> None:
    found: list[str] = []
    for plainly in (templates._plainly, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(templates, "_plainly", plainly)
            try:
                found.append(render(source, values, html=html))
            except Malformed as error:
                found.append(error.message)
    assert found[0] == found[1]


def test_texts_and_whole_numbers_need_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    source, values = "Hi {{ a }}, {{ b.size }} of {{ b.a }}", {"a": "<x>", "b": {"size": 1, "a": 2}}
    assert render(source, values) == "Hi <x>, 1 of 2"
    monkeypatch.setattr(templates, "_parsed", None)
    assert render(source, values) == "Hi <x>, 1 of 2"
    assert render(source, values, html=True) == "Hi &lt;x&gt;, 1 of 2"


@pytest.mark.parametrize(
    "source",
    [
        GROWING,
        SLOW,
        "{{ many | join: wide }}",
        "{{ wide | append: wide | append: wide | append: wide | size }}",
    ],
)
def test_a_template_that_grows_or_lasts_without_end_is_stopped(source: str) -> None:
    values = {"many": [str(number) for number in range(3000)], "wide": "w" * 100_000}
    with pytest.raises(Malformed) as caught:
        render(source, values)
    assert caught.value.message == "ResourceLimitError"


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("plain", ()),
        ("{{ b.c | default: a }} {{ a }} {{ b.c }}", (("b", "c"), ("a",))),
        ("{% for item in items %}{{ item.name }}{{ forloop.index }}{% endfor %}", (("items",),)),
        (
            "{% if tags.n > 1 %}{{ x['y z'].w[0] }}{% endif %}",
            (("tags", "n"), ("x", "y z", "w", 0)),
        ),
        ("{% assign own = 1 %}{{ own }}{{ tags[key.of] }}", (("tags", None), ("key", "of"))),
        ("{% liquid echo a %}{% capture b %}{{ c }}{% endcapture %}{{ b }}", (("a",), ("c",))),
    ],
)
def test_all_that_a_template_looks_at_is_known_before_it_is_used(
    source: str, paths: tuple[tuple[str | int | None, ...], ...]
) -> None:
    assert paths_of(source) == paths


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("one\n{{ x", "expected '}}', found end of file (line 2)"),
        ("{% iff %}", "unexpected tag 'iff' (line 1)"),
        ("{% include 'other' %}", "unexpected tag 'include' (line 1)"),
        ("{% render 'other' %}", "unexpected tag 'render' (line 1)"),
        ("{{ x | sparkle }}", "unknown filter 'sparkle'"),
    ],
)
def test_a_template_that_cannot_be_read_says_why_and_where(source: str, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        paths_of(source)
    assert caught.value.message == reason


def test_what_filters_make_may_be_as_long_as_a_message() -> None:
    assert render("{{ a | replace: 'x', 'yy' | size }}", {"a": "x" * 10_000}) == "20000"
    assert render("{{ a | join: ', ' }}", {"a": [1, 2]}) == "1, 2"
