"""Sends that take their words from a template, and what stands in where a value is missing."""

from typing import Any

import msgspec
import pytest

from services.contracts.command import Content, SendCommand
from services.contracts.definitions import Bundle
from services.contracts.time import HOUR
from services.triggers.engine import check, compile_rules
from tests.engine.build import NOON, Log

THANKS: dict[str, Any] = {
    "id": "thanks",
    "version": 3,
    "content": {"subject": "Thanks, {{ first_name }}", "body": "{{ order_id }}{{ note }}"},
    "variables": {
        "first_name": {"trait": "profile.first_name", "fallback": "friend"},
        "order_id": {"property": "order_id"},
        "orders": {"tag": "orders", "fallback": 1},
        "note": {"trait": "note", "required": False},
    },
}
ORDERS = {"id": "orders", "aggregate": "count", "events": ["Order Completed"]}
NO_EVENT = (
    "its variable 'order_id' is a property of the entry's event, and none stands for an entry by"
    " schedule: give it a fallback"
)
BUYER: dict[str, Any] = {
    "id": "buyer",
    "entry": {"events": ["Order Completed"]},
    "steps": [{"send": {"channel": "mail", "template": "thanks"}}],
}


def bundle(template: dict[str, Any] | None = None, trigger: dict[str, Any] | None = None) -> Bundle:
    """One template and one trigger, changed as said; a field that is None is left out."""
    return msgspec.convert(
        {
            "revision": 1,
            "tags": [ORDERS],
            "templates": [{**THANKS, **(template or {})}],
            "triggers": [{**BUYER, **(trigger or {})}],
        },
        Bundle,
    )


def sent(definitions: Bundle, traits: dict[str, Any], **properties: Any) -> SendCommand:
    """The command that one order leads to."""
    log = Log(rules=compile_rules(definitions), reload=True)
    log.identify(traits)
    log.event("Order Completed", properties)
    (command,) = log.out.commands
    return command


def sending(**send: Any) -> dict[str, Any]:
    """A change of the trigger's only send."""
    return {"steps": [{"send": {"channel": "mail", "template": "thanks", **send}}]}


def test_what_the_template_says_is_sent_and_its_version_told() -> None:
    command = sent(bundle(), {"profile": {"first_name": "Ann"}, "note": "!"}, order_id="o1")
    assert command.content == Content(
        subject="Thanks, {{ first_name }}", body="{{ order_id }}{{ note }}"
    )
    assert (command.template, command.template_version) == ("thanks", 3)
    named = {name: command.variables[name] for name in THANKS["variables"]}
    assert named == {"first_name": "Ann", "order_id": "o1", "orders": 1, "note": "!"}
    assert command.variables["event"] == {"order_id": "o1"}


def test_what_is_missing_or_null_is_replaced_by_its_fallback() -> None:
    variables = sent(bundle(), {"profile": {"first_name": None}}, order_id=7).variables
    assert variables["first_name"] == "friend"
    assert variables["note"] is None, "it is not required: it prints as nothing"


def test_a_required_value_that_is_missing_is_left_out() -> None:
    assert "order_id" not in sent(bundle(), {}).variables


def test_the_words_of_the_send_go_before_the_templates() -> None:
    command = sent(bundle(trigger=sending(content={"subject": "Hello"})), {}, order_id="1")
    assert command.content == Content(subject="Hello", body="{{ order_id }}{{ note }}")


def test_a_send_without_template_says_none() -> None:
    plain = sending(template=None, content={"subject": "a", "body": "b"})
    command = sent(bundle(trigger=plain), {})
    assert (command.template, command.template_version) == (None, None)
    assert set(command.variables) == {"event", "person", "tags"}


@pytest.mark.parametrize(
    ("template", "trigger", "place", "reason"),
    [
        ({"id": "other"}, {}, "triggers.buyer.steps[0].send.template", "unknown template 'thanks'"),
        (
            {"channels": ["sms", "push"]}, {},
            "triggers.buyer.steps[0].send.template", "'thanks' serves sms, push, not mail",
        ),
        (
            {"content": {"subject": "a"}}, {},
            "triggers.buyer.steps[0].send.content.body", "a mail needs a body",
        ),
        (
            {}, {"entry": {"schedule": {"cron": "0 9 * * 1"}}},
            "triggers.buyer.steps[0].send.template",
            NO_EVENT,
        ),
        (
            {"variables": {"x": {"tag": "spend"}}}, {},
            "templates.thanks.variables.x.tag", "unknown tag 'spend'",
        ),
        (
            {"variables": {"x": {"tag": "orders", "trait": "x"}}}, {},
            "templates.thanks.variables.x", "exactly one of tag, trait, property is needed",
        ),
        (
            {"variables": {"person": {"trait": "x"}}}, {},
            "templates.thanks.variables.person", "this name means something else already",
        ),
        (
            {"content": {"body": " "}}, sending(content={"subject": "a", "body": "b"}),
            "templates.thanks.content", "says nothing: a subject or a body is needed",
        ),
        (
            {"channels": ["sms"], "content": {"body": "a", "html": "<p>"}},
            {"steps": [{"send": {"channel": "log"}}]},
            "templates.thanks.content.html", "channel sms knows no HTML",
        ),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_right_is_refused_with_the_place(
    template: dict[str, Any], trigger: dict[str, Any], place: str, reason: str
) -> None:
    assert check(bundle(template, trigger)) == [(place, reason)]


def test_an_entry_without_event_may_use_what_has_a_fallback() -> None:
    order = {"order_id": {"property": "order_id", "fallback": "-"}}
    scheduled = {"entry": {"schedule": {"cron": "0 9 * * 1"}}}
    content = {"subject": "a", "body": "{{ order_id }}"}
    assert check(bundle({"variables": order, "content": content}, scheduled)) == []


def test_two_templates_of_one_id_are_refused() -> None:
    one = bundle()
    twice = msgspec.structs.replace(one, templates=one.templates * 2)
    assert check(twice) == [("templates.thanks", "two have this id")]


def test_people_under_way_get_the_template_as_it_is_now() -> None:
    waits = {"steps": [{"wait": {"for": "1h"}}, *BUYER["steps"]], "version": 1}
    before = bundle(trigger=waits)
    after = bundle({"version": 4, "content": {"subject": "a", "body": "new"}}, {"version": 2})
    log = Log(rules=compile_rules(before), reload=True)
    log.event("Order Completed", {"order_id": 1})
    log.publish(msgspec.structs.replace(after, revision=2, pinned=before.triggers))
    log.wake(NOON + HOUR)
    (command,) = log.out.commands
    assert (command.trigger_version, command.template_version) == (1, 4)
    assert command.content.body == "new"
