"""Reading commands, rendering them and reporting what became of them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.codec import encode_json
from services.contracts.command import Cancel, Content, Lane, NotBetween, is_urgent
from services.contracts.errors import Malformed
from services.dispatcher.commands import (
    NOBODY,
    compose,
    decode_cancel,
    decode_command,
    read_command,
)
from services.dispatcher.ledger import Finished
from services.dispatcher.policy import SendState
from services.dispatcher.reports import code_of, delivery_of, letter_of
from services.runtime.templates import OUTPUT_BYTES_MAX, render
from tests.dispatcher.support import DECIDED_AT, a_command, a_send_id

COMMAND = encode_json(a_command(1))
TOPICS = ("commands", "urgent-commands")


def test_a_command_becomes_an_entry_that_keeps_its_bytes() -> None:
    value = encode_json(a_command(1, lane="high"))
    send = read_command(value, partition=3, offset=7, queues={"log"})
    assert (send.send_id, send.queue, send.rank) == (a_send_id(1), "log", 1)
    assert send.command == value
    assert (send.source_partition, send.source_offset) == (3, 7)


def test_a_command_for_a_queue_that_nobody_serves_goes_to_nobody() -> None:
    value = encode_json(a_command(1, channel="pigeon"))
    assert read_command(value, partition=0, offset=0, queues={"log"}).queue == NOBODY


@pytest.mark.parametrize(
    "changes",
    [
        {"send_id": "1"},
        {"send_id": a_send_id(1).upper()},
        {"send_id": "{" + a_send_id(1) + "}"},
        {"person": ""},
        {"person": "p" * 257},
        {"person": "a\0b"},
        {"trigger": "t" * 257},
        {"channel": "c\0"},
        {"endpoint": "e" * 300},
        {"decided_at": -1},
        {"decided_at": 2**62},
        {"expires_at": 2**62},
        {"v": 2},
        {"not_between": (NotBetween(start="22:00", end="8:00", zone="UTC"),)},
        {"not_between": (NotBetween(start="24:00", end="08:00", zone="UTC"),)},
        {"not_between": (NotBetween(start="22:00", end="08:00", zone="Moon/Base"),)},
        {"not_between": (NotBetween(start="22:00", end="08:00", zone="../etc/passwd"),)},
    ],
)
def test_what_the_ledger_could_not_hold_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decode_command(encode_json(a_command(1, **changes)))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_command_or_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        decode_command(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=10,
    ),
    st.sampled_from(sorted(msgspec.to_builtins(a_command(1)))),
)
def test_any_field_may_hold_anything_without_harm(value: Any, name: str) -> None:
    fields = {**msgspec.to_builtins(a_command(1)), name: value}
    try:
        decode_command(msgspec.json.encode(fields))
    except Malformed:
        pass  # the other good answer


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("Hi {{ name }}!", "Hi Ann!"),
        ("{{ order.items[0].sku }}", "A1"),
        ("{{ missing | default: 'friend' }}", "friend"),
        ("{% if missing %}a{% else %}b{% endif %}", "b"),
        ("{% for item in order.items %}{{ item.sku }};{% endfor %}", "A1;B2;"),
        ("{{ self }}{{ source }}", "12"),
    ],
)
def test_templates_are_filled_in(template: str, text: str) -> None:
    variables = {
        "name": "Ann",
        "order": {"items": [{"sku": "A1"}, {"sku": "B2"}]},
        "self": 1,
        "source": 2,
    }
    assert render(template, variables) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ missing }}", "{{ name.__class__ }}", "{{ name | nofilter }}", "{% for",
        "{% include 'x' %}", "{% render '/etc/passwd' %}", "{{ 1 | divided_by: 0 }}",
        "{{ big | date: '%Y' }}", "{% for i in (1..99999999) %}x{% endfor %}",
        "{% assign a = 'xx' %}{% for i in (1..40) %}{% assign a = a | append: a %}{% endfor %}",
        "{% for i in (1..9000) %}{{ wide }}{% endfor %}",
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_filled_in_is_malformed(template: str) -> None:
    secret = "99999999999999"
    with pytest.raises(Malformed) as caught:
        render(template, {"name": "Ann", "big": secret, "wide": "w" * 100})
    assert caught.value.code == "template_error"
    assert secret not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_output_is_bounded() -> None:
    assert len(render("{{ a }}", {"a": "x" * 1000})) == 1000
    with pytest.raises(Malformed):
        render("{{ a }}", {"a": "x" * (OUTPUT_BYTES_MAX + 1)})


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=5), st.integers() | st.text()))
def test_any_template_gives_text_or_malformed(source: str, variables: dict[str, Any]) -> None:
    try:
        assert isinstance(render("{{" + source + "}}", variables), str)
        assert isinstance(render("{%" + source + "%}", variables), str)
    except Malformed:
        pass  # the other good answer


def test_both_parts_of_the_content_are_rendered() -> None:
    message = compose(a_command(7, content=Content(subject="{{ number }}", body="{{ name }}")))
    assert (message.subject, message.body) == ("7", "Ann")


def finished(state: SendState, reason: str | None, command: bytes | None = COMMAND) -> Finished:
    """A send at its end."""
    return Finished(
        send_id=a_send_id(1),
        person="person-1",
        trigger="welcome",
        channel="log",
        state=state,
        attempts=2,
        reason=reason,
        finished_at=DECIDED_AT,
        command=command,
        source_partition=3,
        source_offset=7,
    )


@pytest.mark.parametrize(
    ("state", "reason", "status", "code"),
    [
        (SendState.ACCEPTED, None, "accepted", None),
        (SendState.FAILED, "status 410", "failed", "refused"),
        (SendState.FAILED, "expired", "failed", "expired"),
        (SendState.FAILED, "exhausted: status 500", "failed", "exhausted"),
        (SendState.FAILED, "template_error: x", "failed", "template_error"),
        (SendState.AMBIGUOUS, "exhausted: silence", None, "ambiguous"),
    ],
)
def test_each_end_says_what_it_means(
    state: SendState, reason: str | None, status: str | None, code: str | None
) -> None:
    end = finished(state, reason)
    delivery, letter = delivery_of(end), letter_of(end, topics=TOPICS)
    assert (delivery and delivery.status) == status
    assert (letter and letter.code) == code
    if letter is not None:
        assert (letter.partition, letter.offset, letter.value) == (3, 7, COMMAND)
        assert code_of(end) == code


@pytest.mark.parametrize(("lane", "topic"), [("normal", TOPICS[0]), ("high", TOPICS[1])])
def test_a_letter_says_on_which_topic_the_command_stood(lane: Lane, topic: str) -> None:
    command = encode_json(a_command(1, lane=lane))
    letter = letter_of(finished(SendState.FAILED, "expired", command=command), topics=TOPICS)
    assert letter is not None
    assert letter.topic == topic


def test_a_letter_that_was_written_before_is_not_written_again() -> None:
    end = finished(SendState.FAILED, "expired", command=None)
    assert letter_of(end, topics=TOPICS) is None
    assert delivery_of(end) is not None


def test_a_cancel_names_one_run_or_one_send() -> None:
    cancel = Cancel(person="ann", run_id=a_send_id(1), decided_at=DECIDED_AT)
    assert decode_cancel(encode_json(cancel)) == cancel


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": None},
        {"send_id": a_send_id(2)},
        {"run_id": "1"},
        {"person": ""},
        {"person": "a\0"},
        {"v": 2},
    ],
)
def test_a_cancel_that_names_nothing_or_too_much_is_malformed(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {"person": "ann", "run_id": a_send_id(1), "decided_at": DECIDED_AT}
    with pytest.raises(Malformed):
        decode_cancel(encode_json(Cancel(**(values | changes))))


@given(st.binary(max_size=200) | st.none())
def test_any_bytes_are_a_cancel_or_malformed(value: bytes | None) -> None:
    with pytest.raises(Malformed):
        decode_cancel(value)


@pytest.mark.parametrize(
    ("lane", "urgent"), [("transactional", True), ("high", True), ("normal", False)]
)
def test_what_is_not_in_the_normal_lane_is_urgent(lane: Lane, urgent: bool) -> None:
    assert is_urgent(a_command(1, lane=lane)) is urgent
