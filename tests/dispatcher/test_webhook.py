"""The webhook channel beyond the port: signatures, statuses, addresses."""

import base64
import hashlib
import hmac
import json
import socket

import pytest

from services.dispatcher.channels.port import Accepted, Delayed, Refused
from services.dispatcher.signing import secret_bytes, sign
from tests.dispatcher.counterparts import KEY, http_end
from tests.dispatcher.support import DECIDED_AT, a_message, a_send_id

NOW = 1_700_000_123.5


async def test_a_request_is_signed_after_standard_webhooks() -> None:
    async with http_end(now=lambda: NOW) as end:
        await end.channel.send(a_message(1))
    (request,) = end.requests
    assert request.target == "/hooks?shop=1"
    headers = request.headers
    assert headers["webhook-id"] == headers["idempotency-key"] == a_send_id(1)
    assert headers["webhook-timestamp"] == "1700000123"
    assert headers["host"].startswith("localhost:")
    content = f"{a_send_id(1)}.1700000123.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_while_a_secret_is_replaced_both_sign() -> None:
    async with http_end(keys=(KEY, b"n" * 32), now=lambda: NOW) as end:
        await end.channel.send(a_message(1))
    (request,) = end.requests
    both = request.headers["webhook-signature"].split(" ")
    args = (a_send_id(1), int(NOW), request.body)
    assert both == [sign(KEY, *args), sign(b"n" * 32, *args)]


@pytest.mark.parametrize("kind", ["offer", "handoff"])
async def test_offers_and_handoffs_say_what_is_asked_for(kind: str) -> None:
    request = {"kind": "coupon", "reference": "spring-10", "amount": 1}
    async with http_end() as end:
        await end.channel.send(a_message(1, kind=kind, request=request))
    body = json.loads(end.requests[0].body)
    assert body["type"] == kind
    assert body["data"]["request"] == request


def test_the_signature_agrees_with_the_example_of_the_specification() -> None:
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_the_body_carries_the_message_and_when_it_was_decided() -> None:
    async with http_end() as end:
        await end.channel.send(a_message(1, body="grüße"))
    body = json.loads(end.requests[0].body)
    assert body["type"] == "send"
    assert body["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert body["data"]["send_id"] == a_send_id(1)
    assert body["data"]["body"] == "grüße"
    assert body["data"]["decided_at"] == DECIDED_AT


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("200 OK", Accepted),
        ("202 Accepted", Accepted),
        ("301 Moved", Refused),
        ("400 Bad", Refused),
        ("401 No", Refused),
        ("408 Timeout", Delayed),
        ("410 Gone", Refused),
        ("425 Early", Delayed),
        ("429 Slow down", Delayed),
        ("500 Oops", Delayed),
        ("503 Busy", Delayed),
    ],
)
async def test_the_status_decides(status: str, kind: type) -> None:
    async with http_end() as end:
        end.status = status
        assert isinstance(await end.channel.send(a_message(1)), kind)
        assert len(end.requests) == 1


async def test_retry_after_is_passed_on() -> None:
    async with http_end() as end:
        end.status, end.headers = "429 Slow down", {"retry-after": "17"}
        outcome = await end.channel.send(a_message(1))
    assert outcome == Delayed(reason="status 429", retry_after_seconds=17.0)


async def test_a_redirect_is_not_followed() -> None:
    async with http_end() as end:
        end.status, end.headers = "307 Elsewhere", {"location": end.url}
        assert await end.channel.send(a_message(1)) == Refused(reason="status 307")
        assert len(end.requests) == 1


async def test_nobody_listening_delays() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        async with http_end(url=f"http://127.0.0.1:{port}/") as end:
            assert await end.channel.send(a_message(1)) == Delayed(reason="no connection")


async def test_an_unknown_name_delays() -> None:
    async with http_end(url="http://nowhere.invalid/", timeout_seconds=10.0) as end:
        assert await end.channel.send(a_message(1)) == Delayed(reason="name not resolved")


async def test_an_answer_without_end_is_cut_off() -> None:
    async with http_end(timeout_seconds=5.0) as end:
        end.status, end.body = "200 OK", b"x" * 1_000_000
        assert isinstance(await end.channel.send(a_message(1)), Accepted)
        assert isinstance(await end.channel.send(a_message(2)), Accepted)


async def test_an_answer_whose_body_never_comes_counts_by_its_status() -> None:
    async with http_end() as end:
        end.status, end.claimed_length = "200 OK", 1000
        assert isinstance(await end.channel.send(a_message(1)), Accepted)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with http_end() as end:
        assert isinstance(await end.channel.send(a_message(1)), Accepted)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_" + "QQ==", "x" * 200])
def test_a_secret_that_is_none_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError) as caught:
        secret_bytes(secret)
    assert not secret or secret not in str(caught.value)


async def test_a_connection_that_is_never_made_delays_though_time_runs_out() -> None:
    # A full backlog drops what asks for a connection, as a host that is away does.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        async with http_end(url=f"http://127.0.0.1:{full.getsockname()[1]}/") as end:
            assert await end.channel.send(a_message(1)) == Delayed(reason="no connection")
        for one in waiting:
            one.close()
