"""Links that come back: sealed, ours alone, the same for the same send; and mails full of them."""

import base64
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.channels.mail import compose
from services.dispatcher.links import Links
from services.dispatcher.tracking import tracked
from services.runtime.templates import render
from tests.dispatcher.support import a_message

BASE = "https://m.example.com"
LINKS = Links(BASE + "/", ["k" * 32])
MESSAGE = a_message(1, channel="mail", person="ann@example.com")


def token_of(url: str) -> str:
    """The last part of an address."""
    return url.rpartition("/")[2].removesuffix(".gif")


def test_a_link_says_to_us_alone_what_it_stands_for() -> None:
    url = LINKS.clicked(MESSAGE, "https://shop.example/a?b=1")
    link = LINKS.read("click", token_of(url))
    assert link is not None
    assert (link.person, link.send_id) == ("ann@example.com", MESSAGE.send_id)
    assert (link.channel, link.category) == ("mail", "marketing")
    assert link.url == "https://shop.example/a?b=1"
    token = token_of(url)
    opened = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"ann" not in opened
    assert b"shop.example" not in opened


def test_a_link_of_one_purpose_serves_no_other() -> None:
    token = token_of(LINKS.unsubscribe(MESSAGE))
    assert LINKS.read("unsubscribe", token) is not None
    assert LINKS.read("open", token) is None
    assert LINKS.read("click", token) is None


def test_a_changed_or_foreign_link_is_none_of_ours() -> None:
    token = token_of(LINKS.opened(MESSAGE))
    for place in range(0, len(token) - 1, 7):
        other = "A" if token[place] != "A" else "B"
        assert LINKS.read("open", token[:place] + other + token[place + 1 :]) is None
    assert Links(BASE, ["x" * 32]).read("open", token) is None


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_reading(token: str) -> None:
    assert LINKS.read("click", token) is None


def test_while_a_key_is_replaced_links_of_both_work() -> None:
    old, both = LINKS, Links(BASE, ["n" * 32, "k" * 32])
    assert both.read("open", token_of(old.opened(MESSAGE))) is not None
    assert old.read("open", token_of(both.opened(MESSAGE))) is None


@pytest.mark.parametrize(
    ("source", "leads_to"),
    [
        ('<a href="https://shop.example/?a=1&amp;b=2">', "https://shop.example/?a=1&b=2"),
        ("<A class='x' HREF='http://shop.example/'>", "http://shop.example/"),
        ('<a data-x="1"\n href="https://ä.example/">', "https://ä.example/"),
    ],
)
def test_web_addresses_lead_through_us(source: str, leads_to: str) -> None:
    marked = tracked(source, MESSAGE, LINKS)
    found = re.search(r'(?i)href\s*=\s*"([^"]+)"', marked)
    assert found is not None
    link = LINKS.read("click", token_of(unescape(found[1])))
    assert link is not None
    assert link.url == leads_to


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:a@b.de">', '<a href="#top">', '<a href="javascript:alert(1)">',
        '<area href="https://x.example/">', f'<a href="{BASE}/p/u/abc">', "<a name=x>",
        '<a href="https://x.example/' + "x" * 5000 + '">',
    ],
)  # fmt: skip
def test_other_addresses_stay_as_they_are(source: str) -> None:
    assert tracked(source, MESSAGE, LINKS).startswith(source + "<img ")


def test_the_pixel_stands_at_the_end_of_the_body() -> None:
    marked = tracked("<html><body>Hi</body></html>", MESSAGE, LINKS)
    before, _, after = marked.partition("<img ")
    assert before == "<html><body>Hi"
    assert after.endswith("></body></html>")


def composed(**changes: object) -> tuple[EmailMessage, bytes]:
    """A mail with HTML as it arrives, and its bytes."""
    message = a_message(1, channel="mail", html='<a href="https://x.example/">x</a>', **changes)
    mail = compose(message, sender="s@example.com", domain="example.com", links=LINKS)
    assert isinstance(mail, EmailMessage)
    raw = mail.as_bytes()
    assert max(map(len, raw.splitlines())) <= 998
    again = compose(message, sender="s@example.com", domain="example.com", links=LINKS)
    assert isinstance(again, EmailMessage)
    assert again.as_bytes() == raw, "the same send gives the same bytes"
    return message_from_bytes(raw, policy=default), raw


@pytest.mark.parametrize("person", ["ann", "ann" * 60])
def test_a_marketing_mail_can_be_unsubscribed_from_by_one_click(person: str) -> None:
    mail, raw = composed(person=person)
    # RFC 8058 section 3.1: one https address and this very pair, not encoded.
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.search(rb"^List-Unsubscribe: <(https://[!-~]+)>\r$", raw, re.MULTILINE)
    assert found is not None
    link = LINKS.read("unsubscribe", token_of(found[1].decode()))
    assert link is not None
    assert link.person == person


def test_a_transactional_mail_has_neither_list_nor_tracking() -> None:
    mail, _ = composed(category="transactional")
    assert mail["List-Unsubscribe"] is None
    body = mail.get_body(("html",))
    assert body is not None
    assert body.get_content().strip() == '<a href="https://x.example/">x</a>'


def test_a_mail_with_html_has_the_text_first() -> None:
    mail, _ = composed(body="plain")
    assert mail.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in mail.iter_parts()]
    assert kinds == ["text/plain", "text/html"]


def test_values_in_html_are_escaped_and_in_text_are_not() -> None:
    variables = {"name": "<b>Ann & Bo</b>"}
    assert render("Hi {{ name }}", variables) == "Hi <b>Ann & Bo</b>"
    escaped = "<p>&lt;b&gt;Ann &amp; Bo&lt;/b&gt;</p>"
    assert render("<p>{{ name }}</p>", variables, html=True) == escaped
