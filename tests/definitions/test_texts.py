"""Texts that could not be sent are refused before anybody waits for them."""

from typing import Any

import msgspec
import pytest

from services.contracts.definitions import Bundle
from services.triggers.definitions.texts import check_texts, check_whole

TAG = {"id": "orders", "aggregate": "count", "events": ["Order Completed"]}
HAS_ORDERED = {"tag": "orders", "op": "gte", "value": 1}
ALL = "event, person, tags, unsubscribe_url"
DECLARED = "what its `variables` declare, by their names"
LIFECYCLE = {
    "id": "stage",
    "states": ["new", "active"],
    "transitions": [{"from": ["new"], "to": "active", "when": HAS_ORDERED}],
}


def bundle(
    steps: list[dict[str, Any]], template: dict[str, Any] | None = None, **trigger: Any
) -> Bundle:
    """A trigger with these steps, a tag, a life cycle and, where given, a template."""
    given = {"id": "buyer", "entry": {"events": ["Order Completed"]}, "steps": steps, **trigger}
    return msgspec.convert(
        {
            "revision": 1,
            "tags": [TAG],
            "lifecycles": [LIFECYCLE],
            "templates": [] if template is None else [{"id": "thanks", **template}],
            "triggers": [given],
        },
        Bundle,
    )


def mail(**send: Any) -> dict[str, Any]:
    """A send by mail."""
    return {"send": {"channel": "mail", **send}}


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ({"subject": "Hi {{ person.first_name }}", "body": "{{ event.order_id }}"}, []),
        ({"subject": "{{ tags.orders }} {{ tags.stage }}", "body": "{{ unsubscribe_url }}"}, []),
        ({"body": "{% for item in event.items %}{{ item.name }}{% endfor %}"}, []),
        ({"subject": "{{ order_id }}"}, [
            ("subject", f"unknown variable 'order_id', known are {ALL}"),
        ]),
        ({"body": "{{ tags.spend }}{{ tags.spend | round }}"}, [("body", "unknown tag 'spend'")]),
        ({"body": "{{ tags[event.tag] }}"}, [
            ("body", "tags.[…]: the tag has to be written down"),
        ]),
        ({"subject": "{{ x", "html": "{% include 'x' %}"}, [
            ("subject", "expected '}}', found end of file (line 1)"),
            ("html", "unexpected tag 'include' (line 1)"),
        ]),
    ],
)  # fmt: skip
def test_a_text_may_look_at_what_is_known_alone(
    content: dict[str, str], problems: list[tuple[str, str]]
) -> None:
    found = check_texts(bundle([mail(content=content)]))
    assert found == [(f"triggers.buyer.steps[0].send.content.{at}", told) for at, told in problems]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{{ first_name }} {{ tags.orders }} {{ unsubscribe_url }}", None),
        ("{{ last_name }}", "unknown variable 'last_name': declare it among `variables`"),
        ("{{ tags.spend }}", "unknown tag 'spend'"),
        (
            "{{ person.first_name }}",
            f"person.first_name: a template takes of the person {DECLARED}",
        ),
        (
            "{{ event.total }}",
            f"event.total: a template takes of the event {DECLARED}",
        ),
        ("{{ first_name | shout }}", "unknown filter 'shout'"),
    ],
)
def test_a_template_uses_its_variables_and_tags_alone(body: str, reason: str | None) -> None:
    variables = {"first_name": {"trait": "first_name", "fallback": "friend"}}
    template = {"content": {"body": body}, "variables": variables}
    expected = [] if reason is None else [("templates.thanks.content.body", reason)]
    assert check_texts(bundle([mail(template="thanks")], template)) == expected


def test_what_stands_beside_a_template_may_use_its_variables_too() -> None:
    template = {"content": {"body": "b"}, "variables": {"name": {"trait": "name"}}}
    send = mail(template="thanks", content={"subject": "{{ name }} {{ person.city }} {{ x }}"})
    (problem,) = check_texts(bundle([send], template))
    assert problem == (
        "triggers.buyer.steps[0].send.content.subject",
        "unknown variable 'x', known are event, name, person, tags, unsubscribe_url",
    )


def test_an_entry_without_event_says_nothing_of_one() -> None:
    schedule = {"schedule": {"cron": "0 9 * * 1"}}
    step = mail(content={"subject": "a", "body": "{{ event.total }}"})
    assert check_texts(bundle([step], entry=schedule)) == [
        (
            "triggers.buyer.steps[0].send.content.body",
            "event.total: no event stands for an entry by schedule",
        )
    ]


def test_texts_of_inner_steps_and_of_tasks_are_read_too() -> None:
    task = {"handoff": {"to": "sales", "endpoint": "tasks", "content": {"subject": "{{ a"}}}
    branch = {"branch": {"if": HAS_ORDERED, "then": [task]}}
    assert [place for place, _ in check_texts(bundle([branch]))] == [
        "triggers.buyer.steps[0].branch.then[0].handoff.content.subject"
    ]


def test_both_kinds_of_problems_are_told() -> None:
    wrong = bundle([mail(content={"subject": "{{ x }}"})])
    found = check_whole(msgspec.structs.replace(wrong, lifecycles=()))
    assert [place for place, _ in found] == [
        "triggers.buyer.steps[0].send.content.body",
        "triggers.buyer.steps[0].send.content.subject",
    ]
