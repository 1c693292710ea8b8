"""The mail channel beyond the port: composition, connections, TLS."""

import asyncio
import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.channels.mail import MailChannel, compose
from services.dispatcher.channels.port import Accepted, Delayed, Refused
from tests.dispatcher.counterparts import mail_end
from tests.dispatcher.support import a_message, a_send_id
from tests.dispatcher.tls import client_context, server_context, write_certificate

SENDER = "Shop <shop@example.com>"
DOMAIN = "shop.example.com"


def composed(**changes: object) -> EmailMessage | Refused:
    """A mail with these changes to the message."""
    return compose(a_message(1, **changes), sender=SENDER, domain=DOMAIN)


async def test_a_mail_has_what_a_mail_needs() -> None:
    async with mail_end() as end:
        message = a_message(1, subject="Schöne Grüße", body="Zeile\n.\nEnde")
        outcome = await end.channel.send(message)
    assert outcome == Accepted(provider_id="2.0.0 OK queued as 1234")
    mail = message_from_bytes(end.mails[0].as_bytes(), policy=default)
    assert mail["Message-ID"] == f"<{a_send_id(1)}@{DOMAIN}>"
    assert mail["Subject"] == "Schöne Grüße"
    assert mail["From"] == SENDER
    assert mail["To"] == "ann@example.com"
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert isinstance(mail, EmailMessage)
    assert mail.get_content() == "Zeile\n.\nEnde\n"
    assert end.recipients == ["ann@example.com"]


def test_the_same_send_gives_the_same_bytes() -> None:
    first, again = composed(), composed()
    assert isinstance(first, EmailMessage)
    assert isinstance(again, EmailMessage)
    assert first.as_bytes() == again.as_bytes()


@given(subject=st.text(max_size=300), body=st.text(max_size=100))
def test_no_subject_or_body_can_add_a_header(subject: str, body: str) -> None:
    mail = composed(subject=subject, body=body)
    if isinstance(mail, Refused):
        # Only what UTF-8 cannot say; JSON cannot either.
        assert any(0xD800 <= ord(character) < 0xE000 for character in subject + body)
        return
    read = message_from_bytes(mail.as_bytes(), policy=default)
    assert sorted(read.keys()) == sorted(
        {"To", "From", "Subject", "Message-ID", "Date", "MIME-Version", "Content-Type"}
        | {"Content-Transfer-Encoding", "X-Cuestream-Send"}
    )
    assert read.defects == []


@pytest.mark.parametrize("subject", ["Hi\nBcc: x@y.z", "Hi\r\nBcc: x@y.z", "Hi\u2028Bcc: x@y.z"])
def test_line_breaks_in_a_subject_become_spaces(subject: str) -> None:
    mail = composed(subject=subject)
    assert isinstance(mail, EmailMessage)
    assert mail["Subject"] == "Hi Bcc: x@y.z"


@pytest.mark.parametrize(
    "address",
    [
        None, "", "a", "@", "a@", "@b", "a b@c.de", "a@b, c@d", "a@b;c@d", "<a@b>", "A <a@b>",
        "a@b\nBcc: c@d", "a@b\r\n", "(x)a@b", '"a b"@c.de', "a@[127.0.0.1]", "ä@b.de", "a@b\0",
        "a..b@c.de", f"{'a' * 65}@b.de", f"a@{'b' * 260}.de", "a@b>",
    ],
)  # fmt: skip
def test_what_is_not_one_bare_address_is_refused(address: str | None) -> None:
    assert isinstance(composed(to=address), Refused)


@pytest.mark.parametrize("address", ["a@b.de", "a.b+c@d-e.co.uk", "x_y'z@b.de"])
def test_ordinary_addresses_pass(address: str) -> None:
    assert isinstance(composed(to=address), EmailMessage)


async def test_connections_are_kept_for_the_next_mail() -> None:
    async with mail_end() as end:
        for number in range(5):
            assert isinstance(await end.channel.send(a_message(number)), Accepted)
        assert end.connections == 1


async def test_a_connection_that_the_server_closed_is_replaced_within_the_same_attempt() -> None:
    async with mail_end() as end:
        assert isinstance(await end.channel.send(a_message(1)), Accepted)
        for session in end.sessions:
            assert session.transport is not None
            session.transport.close()
        assert isinstance(await end.channel.send(a_message(2)), Accepted)
        assert end.connections == 2


async def test_a_server_without_tls_gets_nothing_where_tls_is_asked_for() -> None:
    async with mail_end(tls="starttls") as end:
        assert isinstance(await end.channel.send(a_message(1)), Delayed)
        assert end.mails == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, trusted by nobody."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.mark.parametrize("trusted", [True, False])
async def test_starttls_talks_to_trusted_servers_alone(certificate: Path, trusted: bool) -> None:
    context = server_context(certificate)
    ours = client_context(certificate) if trusted else ssl.create_default_context()
    async with mail_end(
        tls="starttls", tls_context=ours, server_tls=context, timeout_seconds=5.0
    ) as end:
        outcome = await end.channel.send(a_message(1))
    assert isinstance(outcome, Accepted if trusted else Delayed)
    assert len(end.mails) == (1 if trusted else 0)


async def test_nobody_listening_delays() -> None:
    async with mail_end() as end:
        pass
    channel = MailChannel(
        host="127.0.0.1",
        port=end.port,
        tls="none",
        user=None,
        password=None,
        sender=SENDER,
        domain=DOMAIN,
        timeout_seconds=1.0,
    )
    assert await channel.send(a_message(1)) == Delayed(reason="connect: SMTPConnectError")


@pytest.mark.slow
async def test_a_server_that_never_greets_delays_within_the_timeout() -> None:
    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with mail_end(port=port) as end:
        assert isinstance(await end.channel.send(a_message(1)), Delayed)
    server.close()
    for writer in writers:
        writer.close()


async def test_a_mailbox_that_does_not_exist_is_told_from_a_refused_message() -> None:
    async with mail_end() as end:
        end.be("refuse")
        outcome = await end.channel.send(a_message(1))
    assert outcome == Refused(reason="status 550", about_address=True)


@pytest.mark.parametrize(
    ("said", "about_address"),
    [
        ("550 5.1.1 no such mailbox", True),
        ("550 5.2.1 disabled", True),
        ("553 no such name", True),
        ("550 no such name", True),
        ("550 5.7.1 we do not like this", False),
        ("552 5.2.2 full", False),
        ("554 5.7.0 no", False),
    ],
)
async def test_only_a_mailbox_that_is_not_there_counts_against_the_address(
    said: str, about_address: bool
) -> None:
    async with mail_end() as end:
        end.refusal = said
        end.be("refuse")
        outcome = await end.channel.send(a_message(1))
    assert isinstance(outcome, Refused)
    assert outcome.about_address is about_address


async def test_the_envelope_sender_and_a_header_say_which_send_may_come_back() -> None:
    for bounces, sender in (("", "shop@example.com"), ("b@example.com", "b+{}@example.com")):
        async with mail_end(bounces=bounces) as end:
            await end.channel.send(a_message(1))
        assert end.senders == [sender.format(a_send_id(1).replace("-", ""))]
        assert end.mails[0]["X-Cuestream-Send"] == a_send_id(1)
