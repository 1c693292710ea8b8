"""What may leave the house: addresses, names, TLS, redirects, broken answers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from services.dispatcher.channels.outgoing import (
    CheckedResolver,
    Outgoing,
    PrivateAddressError,
    Reply,
    is_public,
    retry_after_seconds,
)
from services.dispatcher.channels.port import Delayed, Outcome, Refused, Unknown
from tests.dispatcher.counterparts import HttpEnd, http_end
from tests.dispatcher.tls import client_context, server_context

NOW = 1_700_000_123.5


@asynccontextmanager
async def outgoing(**changes: Any) -> AsyncIterator[Outgoing]:
    """A client that is closed at the end."""
    values: dict[str, Any] = {
        "timeout_seconds": 2.0,
        "private_allowed": False,
        "connections_max": 5,
    }
    client = Outgoing(**(values | changes))
    try:
        yield client
    finally:
        await client.close()


async def asked(client: Outgoing, url: str, **changes: Any) -> Reply | Outcome:
    """The answer to a small POST."""
    return await client.request("POST", URL(url), headers={}, body=b"{}", **changes)


def port_of(end: HttpEnd) -> int:
    """Where the server listens."""
    return URL(end.url).port or 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433",
        "0x7f000001", "0177.0.0.1", "0.0.0.0", "localhost.",
    ],
)  # fmt: skip
async def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    async with http_end() as end, outgoing() as client:
        answer = await asked(client, f"http://{host}:{port_of(end)}/")
        assert isinstance(answer, Refused | Delayed)
        assert end.connections_opened == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "192.168.1.1", "[fd00::1]"])
async def test_addresses_of_the_inside_are_refused_at_once(host: str) -> None:
    async with outgoing() as client:
        assert await asked(client, f"http://{host}/") == Refused(reason="private address")


async def test_one_private_address_among_public_ones_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names(monkeypatch, ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(PrivateAddressError):
        await CheckedResolver(private_allowed=False).resolve("two-faced.example", 80)


async def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The name service says something else at each question: only its first answer may count.
    async with http_end() as end:
        answers = names(monkeypatch, ["127.0.0.1"], ["127.0.0.9"], ["127.0.0.9"])
        async with outgoing(private_allowed=True) as client:
            url = f"http://rebinding.example:{port_of(end)}/"
            reply = await asked(client, url)
            assert isinstance(reply, Reply)
            assert end.requests[0].headers["host"] == f"rebinding.example:{port_of(end)}"
        assert len(answers) == 2, "the name was looked up once"


async def test_a_name_that_turns_private_is_refused_at_its_next_lookup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    resolver = CheckedResolver(private_allowed=False)
    first = await resolver.resolve("turning.example", 80)
    assert [one["host"] for one in first] == ["93.184.216.34"]
    with pytest.raises(PrivateAddressError):
        await resolver.resolve("turning.example", 80)


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[list[str]]:
    """A name service that gives these answers one after the other; returns those left."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return left


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with http_end() as end, outgoing(private_allowed=True) as client:
        end.status, end.headers = "302 Found", {"location": end.url}
        answer = await asked(client, end.url)
        assert isinstance(answer, Reply)
        assert answer.status == 302
        assert len(end.requests) == 1


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_trusted_servers_hear_anything(tmp_path: Path, trusted: bool) -> None:
    certificate = tmp_path / "both.pem"
    server = server_context(certificate)
    context = client_context(certificate) if trusted else None
    async with (
        http_end(server_tls=server) as end,
        outgoing(private_allowed=True, tls_context=context) as client,
    ):
        answer = await asked(client, f"https://127.0.0.1:{port_of(end)}/")
        assert len(end.requests) == (1 if trusted else 0)
    if not trusted:
        assert answer == Delayed(reason="no trusted connection")


async def test_a_certificate_of_another_name_is_not_trusted(tmp_path: Path) -> None:
    certificate = tmp_path / "both.pem"
    server = server_context(certificate)
    async with (
        http_end(server_tls=server) as end,
        outgoing(private_allowed=True, tls_context=client_context(certificate)) as client,
    ):
        answer = await asked(client, f"https://localhost:{port_of(end)}/")
        assert answer == Delayed(reason="no trusted connection")
        assert end.requests == []


@pytest.mark.slow
async def test_an_answer_that_is_wanted_and_breaks_off_is_unknown() -> None:
    async with http_end() as end, outgoing(private_allowed=True, timeout_seconds=1.0) as client:
        end.status, end.claimed_length = "200 OK", 1000
        assert isinstance(await asked(client, end.url), Unknown)


async def test_an_answer_beyond_all_bounds_is_not_read() -> None:
    async with http_end() as end, outgoing(private_allowed=True) as client:
        end.status, end.body = "200 OK", b"x" * 1_000_000
        assert await asked(client, end.url) == Reply(status=200)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("99999999999999999999", 999_999_999.0),
        ("Tue, 14 Nov 2023 22:18:43 GMT", 199.5),
        ("Tue, 14 Nov 2000 22:15:23 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("١٢", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "2001:0:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "2002:808:808::1"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)
