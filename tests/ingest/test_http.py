"""What a client is answered, path by path and bound by bound."""

import asyncio
import gzip
import re
from typing import Any

import httpx
import msgspec
import pytest

from services.contracts.event import EVENT_BYTES_MAX
from services.contracts.metrics import DEAD_LETTERS, INGEST_EVENTS, INGEST_PENDING, INGEST_REQUESTS
from services.ingest.app import PATHS
from services.ingest.intake import DEAD_LETTER_VALUE_BYTES_MAX
from tests.ingest.support import PARTITIONS, Server, basic, track

SINGLE = {path: kind for path, kind in PATHS.items() if kind is not None}
NO_AUTH: Any = lambda request: request  # noqa: E731
"""Takes the client's own credentials off a request."""


def refused(answer: httpx.Response) -> dict[int, str]:
    return {one["index"]: one["code"] for one in answer.json()["refused"]}


@pytest.mark.parametrize("path", [path for path, kind in PATHS.items() if kind is None])
async def test_a_batch_goes_in_by_each_of_its_paths(server: Server, path: str) -> None:
    answer = await server.send([track(1), track(2)], path)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "accepted": 2, "refused": []}
    assert {event.person for event in server.events()} == {"u-1", "u-2"}


@pytest.mark.parametrize(("path", "kind"), SINGLE.items())
async def test_a_single_call_has_the_type_of_its_path(server: Server, path: str, kind: str) -> None:
    call = {"userId": "u", "event": "x", "groupId": "g", "previousId": "p"}
    answer = await server.client.post(path, content=msgspec.json.encode(call))
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert [event.type for event in server.events()] == [kind]


async def test_a_bad_event_is_named_and_the_rest_of_its_batch_goes_in(server: Server) -> None:
    answer = await server.send([track(1), track(2, event=None), 5, track(4, userId=None)])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert refused(answer) == {1: "missing_event", 2: "bad_field", 3: "missing_identity"}
    assert answer.json()["refused"][0]["messageId"] == "m-2"


async def test_refused_events_are_kept_whole_as_dead_letters(server: Server) -> None:
    bad = track(2, type="walk")
    await server.send([track(1), bad])
    (letter,) = server.dead_letters()
    assert (letter.code, letter.origin, letter.topic) == (
        "unknown_type",
        "ingest",
        "http:/v1/batch",
    )
    assert letter.index == 1
    assert msgspec.json.decode(letter.value or b"") == bad
    assert server.count(DEAD_LETTERS.name, origin="ingest", code="unknown_type") == 1


async def test_a_huge_refused_event_is_kept_cut_and_says_so(server: Server) -> None:
    await server.send([track(1), track(2, properties={"x": "y" * 2 * DEAD_LETTER_VALUE_BYTES_MAX})])
    (letter,) = server.dead_letters()
    assert len(letter.value or b"") == DEAD_LETTER_VALUE_BYTES_MAX
    assert "the first 65536 of" in letter.reason


async def test_dead_letters_are_bounded_by_their_rate_and_verdicts_are_not() -> None:
    server = Server(ingest_dead_letters_per_second=0)
    answer = await server.send([track(1), track(2, type="walk")])
    assert refused(answer) == {1: "unknown_type"}
    assert server.dead_letters() == []


async def test_a_batch_without_one_event_in_it_is_a_final_400(server: Server) -> None:
    answer = await server.send([track(1, type="walk"), track(2, userId="")])
    assert answer.status_code == 400
    assert answer.json()["code"] == "all_refused"
    assert refused(answer) == {0: "unknown_type", 1: "missing_identity"}
    assert len(server.dead_letters()) == 2


async def test_an_empty_batch_is_fine(server: Server) -> None:
    answer = await server.send([])
    assert (answer.status_code, answer.json()["accepted"]) == (200, 0)


async def test_a_bad_single_call_is_a_400_with_its_code(server: Server) -> None:
    answer = await server.client.post("/v1/track", content=b'{"userId":"u"}')
    assert answer.status_code == 400
    assert answer.json()["code"] == "missing_event"
    assert len(server.dead_letters()) == 1


async def test_an_oversized_single_call_is_a_413(server: Server) -> None:
    body = msgspec.json.encode(track(1, properties={"x": "y" * EVENT_BYTES_MAX}))
    answer = await server.client.post("/v1/track", content=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "event_too_large")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"[]", "bad_field"),
        (b"{}", "bad_field"),
        (b'{"batch":{}}', "bad_field"),
        (b'{"batch":[{}', "bad_json"),
        (b'{"batch":[],"context":5}', "bad_field"),
        (b'{"batch":[],"context":{"a":1e999}}', "number_out_of_range"),
        (b'{"batch":[],"context":{"a":"%s"}}' % (b"x" * 9000), "context_too_large"),
        ("{}".encode("utf-16"), "bad_json"),
    ],
)
async def test_what_is_no_batch_is_a_400(server: Server, body: bytes, code: str) -> None:
    answer = await server.client.post("/v1/batch", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "text/plain", "application/octet-stream", ""],
)
async def test_any_content_type_may_carry_json(server: Server, content_type: str) -> None:
    body = msgspec.json.encode(track(1))
    headers = {"Content-Type": content_type}
    answer = await server.client.post("/v1/t", content=body, headers=headers)
    assert answer.status_code == 200


async def test_a_batch_s_context_is_under_each_message_s_own(server: Server) -> None:
    body = {
        "context": {"ip": "203.0.113.9", "locale": "de"},
        "batch": [track(1), track(2, context={"locale": "en"})],
    }
    await server.client.post("/v1/batch", content=msgspec.json.encode(body))
    found = {event.person: event.context for event in server.events()}
    assert found == {
        "u-1": {"ip": "203.0.113.9", "locale": "de"},
        "u-2": {"ip": "203.0.113.9", "locale": "en"},
    }


async def test_a_batch_s_sent_at_corrects_the_clock_of_its_messages(server: Server) -> None:
    # A clock two hours behind: what it calls a minute before sending was a minute ago.
    body = {
        "sentAt": "2020-01-01T10:00:00Z",
        "batch": [track(1, timestamp="2020-01-01T09:59:00Z")],
    }
    await server.client.post("/v1/batch", content=msgspec.json.encode(body))
    (event,) = server.events()
    assert event.received_at - event.occurred_at == 60_000_000


async def test_in_replay_an_event_is_received_when_it_happened() -> None:
    server = Server(clock="replay")
    await server.send([track(1, timestamp="2010-12-01T08:26:00Z")])
    (event,) = server.events()
    assert event.received_at == event.occurred_at == 1_291_191_960_000_000


# --- write keys ---


async def test_a_request_without_a_write_key_is_a_401(server: Server) -> None:
    answer = await server.client.post("/v1/track", json=track(1), auth=NO_AUTH)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_write_key")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    "authorization",
    ["Basic bm9ib2R5Og==", "Basic", "Basic !!!", "Basic /////w==", "basic ", "Basic Og=="],
)
async def test_an_unknown_write_key_is_a_401_whatever_the_body_says(
    server: Server, authorization: str
) -> None:
    answer = await server.client.post(
        "/v1/track",
        json=track(1, writeKey="local"),
        headers={"Authorization": authorization},
        auth=NO_AUTH,
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_write_key")
    assert server.events() == []
    assert server.dead_letters() == []


@pytest.mark.parametrize("path", ["/v1/t", "/v1/b"])
async def test_a_browser_may_put_its_write_key_into_the_body(server: Server, path: str) -> None:
    call = track(1) if path == "/v1/t" else {"batch": [track(1)]}
    for key, status in (("local", 200), ("nobody", 401), (5, 401)):
        answer = await server.client.post(path, json=call | {"writeKey": key}, auth=NO_AUTH)
        assert answer.status_code == status


async def test_each_of_several_write_keys_is_accepted() -> None:
    server = Server(write_keys=" one, two ,,")
    for key, status in (("one", 200), ("two", 200), ("one, two", 401), ("local", 401), ("", 401)):
        answer = await server.client.post("/v1/t", json=track(1), headers=basic(key), auth=NO_AUTH)
        assert answer.status_code == status


# --- bounds ---


async def test_a_body_past_its_bound_is_a_413_declared_or_not() -> None:
    server = Server(ingest_body_bytes_max=2048)

    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 1024

    for content in (b" " * 2049, chunks()):
        answer = await server.client.post("/v1/batch", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert server.ingest.intake.pressure.bytes == 0


async def test_gzip_is_undone(server: Server) -> None:
    body = gzip.compress(msgspec.json.encode({"batch": [track(1)]}))
    headers = {"Content-Encoding": "gzip"}
    answer = await server.client.post("/v1/batch", content=body, headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (gzip.compress(b" " * 200_000_000, 9), 413, "body_too_large"),
        (gzip.compress(b"{}")[:-4], 400, "bad_gzip"),
        (b"{}", 400, "bad_gzip"),
        (b"", 400, "bad_gzip"),
        (gzip.compress(b"") * 1000, 400, "bad_gzip"),
        (gzip.compress(b'{"batch":[]}') + b"rest", 400, "bad_gzip"),
    ],
    ids=["bomb", "cut", "plain", "empty", "many", "followed"],
)
async def test_broken_and_explosive_gzip_is_refused(
    server: Server, body: bytes, status: int, code: str
) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = await server.client.post("/v1/batch", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_other_encodings_are_a_415(server: Server) -> None:
    headers = {"Content-Encoding": "br"}
    answer = await server.client.post("/v1/batch", content=b"x", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")


async def test_too_many_messages_are_a_413_and_none_goes_in() -> None:
    server = Server(ingest_batch_events_max=2)
    answer = await server.send([track(n) for n in range(3)])
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_events")
    assert server.events() == []


async def test_a_write_key_past_its_rate_gets_429_with_retry_after_and_others_do_not() -> None:
    server = Server(ingest_rate_events_per_second=1, write_keys="one,two")
    statuses = []
    for _ in range(3):
        answer = await server.client.post(
            "/v1/batch",
            json={"batch": [track(n) for n in range(5)]},
            headers=basic("one"),
            auth=NO_AUTH,
        )
        statuses.append(answer.status_code)
    assert statuses == [200, 429, 429]
    assert answer.json()["code"] == "rate_limited"
    assert 3 <= int(answer.headers["Retry-After"]) <= 5
    answer = await server.client.post("/v1/t", json=track(1), headers=basic("two"), auth=NO_AUTH)
    assert answer.status_code == 200


async def test_a_body_that_never_ends_is_a_408() -> None:
    server = Server(ingest_body_timeout_ms=100)

    async def endless() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    answer = await server.client.post("/v1/batch", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (408, "body_timeout")
    assert server.ingest.intake.pressure.bytes == 0


# --- acknowledgement and backpressure ---


async def test_the_answer_waits_for_the_acknowledgement(server: Server) -> None:
    server.log.hold()
    sending = asyncio.create_task(server.send([track(1), track(2)]))
    await server.log.written(1)
    assert not sending.done()
    assert server.count(INGEST_PENDING.name) == 2
    server.log.release()
    assert (await sending).status_code == 200
    assert server.count(INGEST_PENDING.name) == 0


async def test_a_failed_acknowledgement_is_a_503_and_nothing_counts_as_accepted(
    server: Server,
) -> None:
    server.log.hold()
    sending = asyncio.create_task(server.send([track(n) for n in range(20)]))
    await server.log.written(PARTITIONS)
    server.log.release("the broker went away")
    answer = await sending
    assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert server.count(INGEST_EVENTS.name, outcome="accepted") == 0
    assert server.count(INGEST_PENDING.name) == 0
    assert server.ingest.intake.pressure.bytes == 0


async def test_a_failed_dead_letter_is_a_503_too(server: Server) -> None:
    server.log.hold()
    sending = asyncio.create_task(server.send([track(1, type="walk")]))
    await server.log.written(1)
    server.log.release("the broker went away")
    assert (await sending).status_code == 503


async def test_an_acknowledgement_that_never_comes_is_a_503_in_time() -> None:
    server = Server(ingest_ack_timeout_ms=100)
    server.log.hold()
    answer = await server.send([track(1)])
    assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
    server.log.release()
    await server.ingest.intake.drained()
    assert server.count(INGEST_PENDING.name) == 0


async def test_without_kafka_requests_get_503_and_readyz_says_why(server: Server) -> None:
    server.log.failing = "Kafka cannot be reached"
    answer = await server.send([track(1)])
    assert answer.status_code == 503
    ready = await server.client.get("/readyz")
    assert (ready.status_code, ready.json()["failing"]) == (503, {"kafka": server.log.failing})
    assert (await server.client.get("/healthz")).status_code == 200
    server.log.failing = None
    assert (await server.client.get("/readyz")).status_code == 200
    assert (await server.send([track(1)])).status_code == 200


async def test_past_the_pending_bound_requests_get_503_until_kafka_catches_up() -> None:
    server = Server(ingest_pending_events_max=3)
    server.log.hold()
    first = asyncio.create_task(server.send([track(1, messageId=f"{n}") for n in range(3)]))
    await server.log.written(1)
    answer = await server.send([track(9)])
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert "Retry-After" in answer.headers
    server.log.release()
    assert (await first).status_code == 200
    assert (await server.send([track(9)])).status_code == 200


# --- everything around ---


async def test_events_of_one_person_keep_their_order_within_and_between_requests() -> None:
    server = Server(ingest_batch_events_max=10_000)
    for request in range(3):
        numbers = range(request * 700, (request + 1) * 700)
        await server.send([track(1, messageId=f"{n}") for n in numbers])
    assert [event.message_id for event in server.events()] == [str(n) for n in range(2100)]


async def test_concurrent_requests_share_packs(server: Server) -> None:
    answers = await asyncio.gather(*(server.send([track(1, messageId=f"{n}")]) for n in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(map(len, server.log.packs)) < 50


@pytest.mark.parametrize(
    "origin", ["https://shop.example", "null"], ids=["a shop", "a sandboxed frame"]
)
async def test_browsers_of_any_origin_may_send_by_default(server: Server, origin: str) -> None:
    headers = {"Origin": origin}
    preflight = await server.client.options(
        "/v1/t",
        headers=headers
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert preflight.status_code == 200
    allowed = preflight.headers["Access-Control-Allow-Headers"]
    assert {"authorization", "content-type"} <= set(re.split(", *", allowed.lower()))
    answer = await server.client.post("/v1/t", json=track(1), headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_origins_can_be_limited() -> None:
    server = Server(ingest_cors_origins="https://shop.example")
    for origin, allowed in (("https://shop.example", True), ("https://evil.example", False)):
        answer = await server.client.post("/v1/t", json=track(1), headers={"Origin": origin})
        assert ("Access-Control-Allow-Origin" in answer.headers) is allowed


async def test_unknown_paths_and_methods_are_told_in_the_same_form(server: Server) -> None:
    for method, path, status in (("GET", "/v1/batch", 405), ("POST", "/v1/nothing", 404)):
        answer = await server.client.request(method, path)
        assert answer.status_code == status
        assert answer.json().keys() == {"code", "message"}


async def test_metrics_count_events_and_requests_by_outcome(server: Server) -> None:
    await server.send([track(1), track(2), track(3, type="walk")])
    await server.client.post("/v1/batch", content=b"[")
    assert server.count(INGEST_EVENTS.name, outcome="accepted") == 2
    assert server.count(INGEST_EVENTS.name, outcome="unknown_type") == 1
    assert server.count(INGEST_REQUESTS.name, status="200") == 1
    assert server.count(INGEST_REQUESTS.name, status="400") == 1
    page = (await server.client.get("/metrics")).text
    assert 'cuestream_ingest_events_total{outcome="accepted"} 2.0' in page
