"""Requests recorded from real SDKs, sent again byte for byte."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.support import Server

FOLDER = Path(__file__).parent.parent / "data" / "sdk_captures"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
SEVEN = [
    ("$identify", "u-1"),
    ("Product Added", "u-1"),
    ("Order Completed", "anon-42"),
    ("$page", "u-1"),
    ("$screen", "u-1"),
    ("$group", "u-1"),
    ("$alias", "u-1"),
]
"""The calls made for each recording but the legacy one, in their order."""


def capture(name: str) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return requests


@pytest.mark.parametrize("name", NAMES)
async def test_recorded_requests_are_accepted_whole(name: str) -> None:
    server = Server(write_keys="WRITEKEY123")
    for request in capture(name):
        headers = request["headers"]
        body = json.dumps(request["body"], ensure_ascii=False).encode()
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.compress(body)
        answer = await server.client.request(
            request["method"], request["path"], content=body, headers=headers, auth=lambda r: r
        )
        assert answer.json() == {
            "success": True,
            "accepted": len(request["body"]["batch"]),
            "refused": [],
        }


@pytest.mark.parametrize("name", ["segment_py_plain", "segment_py_gzip", "segment_node_plain"])
async def test_the_seven_calls_become_the_same_events_from_each_sdk(name: str) -> None:
    server = Server(write_keys="WRITEKEY123")
    (request,) = capture(name)
    await server.client.post(
        "/v1/batch",
        json=request["body"],
        headers=request["headers"] | {"Content-Encoding": ""},
        auth=lambda r: r,
    )
    events = server.events()
    assert sorted((event.name, event.person) for event in events) == sorted(SEVEN)
    of = {event.name: event for event in events}
    assert of["$identify"].traits["email"] == "an.na@example.com"
    assert of["Order Completed"].message_id == "fixed-msg-id-1"
    assert of["Order Completed"].properties["revenue"] == 99.95
    assert of["$page"].properties["name"] == "Pricing"
    assert of["$page"].properties["category"] == "Docs"
    assert of["$group"].group_id == "g-3"
    assert of["$group"].traits == {"name": "Ünïcøde GmbH 🛒"}
    assert of["$alias"].previous_id == "anon-42"


@pytest.mark.slow
async def test_a_retry_carries_the_same_message_ids() -> None:
    server = Server(write_keys="WRITEKEY123")
    ids = []
    for request in capture("segment_py_429_retryafter2"):
        server.forget()
        await server.client.post(
            "/v1/batch", json=request["body"], headers=request["headers"], auth=lambda r: r
        )
        ids.append({event.message_id for event in server.events()})
    assert ids[0] == ids[1]
    assert len(ids[0]) == len(SEVEN)
