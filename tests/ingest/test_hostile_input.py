"""Whatever a client sends gets a clear verdict, and costs its neighbours nothing."""

import json
from typing import Any

import msgspec
import pytest

from services.contracts.errors import Malformed
from services.contracts.event import PERSON_CHARS_MAX
from services.contracts.segment import parse_message
from tests.ingest.support import Server, track
from tests.support.hostile import json_texts, strings

NOW = 1_800_000_000_000_000
STRANGE_BUT_VALID = {"y_string_null_escape.json", "y_object_escaped_null_in_key.json"}
"""JSON may hold U+0000; PostgreSQL cannot, so that an event with it is refused by name."""


def test_the_whole_collection_is_here() -> None:
    assert (len(json_texts()), len(strings())) == (318, 515)


async def test_a_hostile_text_as_a_body_is_refused_with_a_code(server: Server) -> None:
    for name, text in json_texts().items():
        for path in ("/v1/batch", "/v1/track"):
            answer = await server.client.post(path, content=text)
            assert answer.status_code in (400, 413), name
            assert {"code", "message"} <= answer.json().keys(), name
    assert server.events() == []


async def test_a_hostile_text_among_messages_leaves_its_neighbours_alone(server: Server) -> None:
    before, after = msgspec.json.encode(track(1)), msgspec.json.encode(track(2))
    for name, text in json_texts().items():
        server.forget()
        answer = await server.client.post(
            "/v1/batch", content=b'{"batch":[%b,%b,%b]}' % (before, text, after)
        )
        assert_neighbours_survive(server, name, text, answer.status_code, answer.json())


async def test_a_hostile_text_as_a_value_leaves_its_neighbours_alone(server: Server) -> None:
    before, after = msgspec.json.encode(track(1)), msgspec.json.encode(track(2))
    for name, text in json_texts().items():
        server.forget()
        hostile = b'{"type":"track","event":"x","userId":"h","properties":{"value":%b}}' % text
        answer = await server.client.post(
            "/v1/batch", content=b'{"batch":[%b,%b,%b]}' % (before, hostile, after)
        )
        assert_neighbours_survive(server, name, text, answer.status_code, answer.json())
        accepted = {event.person: event for event in server.events()}
        if name.startswith("y_") and name not in STRANGE_BUT_VALID:
            assert accepted.keys() == {"u-1", "u-2", "h"}, name
            assert accepted["h"].properties["value"] == json.loads(text), name
        if name.startswith("n_"):
            assert "h" not in accepted, name


def assert_neighbours_survive(
    server: Server, name: str, text: bytes, status: int, body: dict[str, Any]
) -> None:
    """Either both neighbours went through, or the text broke the brackets around them too."""
    if status == 200:
        assert {"u-1", "u-2"} <= {event.person for event in server.events()}, name
        assert all(refusal["index"] > 0 for refusal in body["refused"]), name
    else:
        assert (status, body["code"]) == (400, "bad_json"), name
        assert breaks_out(text), name
        assert server.events() == [], name


def breaks_out(text: bytes) -> bool:
    """Whether quotes or brackets of the text don't add up, so that no one can say where it ends."""
    outside = []
    inside = escaped = False
    for char in text:
        if inside:
            inside, escaped = char != 0x22 or escaped, char == 0x5C and not escaped
        elif char == 0x22:
            inside = True
        elif char in b"[]{}":
            outside.append(char)
    stack: list[int] = []
    for char in outside:
        if char in b"[{":
            stack.append(char)
        elif not stack or stack.pop() != {0x5D: 0x5B, 0x7D: 0x7B}[char]:
            return True
    return inside or bool(stack)


def test_no_invalid_text_becomes_an_event_by_itself() -> None:
    for name, text in json_texts().items():
        if name.startswith("n_"):
            with pytest.raises(Malformed):
                parse_message(text, received_at=NOW)


async def test_a_hostile_string_travels_unchanged_wherever_it_stands(server: Server) -> None:
    sent = [
        track(n, event=text, properties={"value": text, f"{text}-": 1}, messageId=f"id-{n}{text}")
        for n, text in enumerate(strings())
    ]
    answer = await server.send(sent)
    refused = {refusal["index"]: refusal["code"] for refusal in answer.json()["refused"]}
    for index, code in refused.items():
        text = strings()[index]
        assert (code, text.strip() == "") in (
            ("missing_event", True),
            ("event_name_too_long", False),
            ("id_too_long", False),
        )
    taken = {event.person: event for event in server.events()}
    assert len(taken) == len(sent) - len(refused)
    for n, text in enumerate(strings()):
        if n not in refused:
            event = taken[f"u-{n}"]
            assert event.name == text
            assert event.properties == {"value": text, f"{text}-": 1}


async def test_a_hostile_string_is_an_identity_like_any_other(server: Server) -> None:
    answer = await server.send([track(n, userId=text) for n, text in enumerate(strings())])
    refused = {refusal["index"]: refusal["code"] for refusal in answer.json()["refused"]}
    expected = [text for text in strings() if text.strip() != "" and len(text) <= PERSON_CHARS_MAX]
    assert sorted(event.person for event in server.events()) == sorted(expected)
    assert set(refused.values()) <= {"missing_identity", "id_too_long"}


@pytest.mark.parametrize("field", ["type", "timestamp", "sentAt", "messageId", "writeKey"])
async def test_a_hostile_string_in_any_field_gets_a_verdict(server: Server, field: str) -> None:
    for text in strings():
        answer = await server.client.post(
            "/v1/track", content=msgspec.json.encode(track(1) | {field: text})
        )
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:
            assert {"code", "message"} <= answer.json().keys()
            assert len(text) < 8 or text not in answer.text


async def test_hostile_strings_as_authorization_are_unknown_keys(server: Server) -> None:
    for text in strings():
        value = text.encode().replace(b"\n", b" ").replace(b"\r", b" ")
        answer = await server.client.post(
            "/v1/track",
            content=b"{}",
            headers=[(b"Authorization", value)],
            auth=lambda request: request,
        )
        assert answer.status_code == 401
