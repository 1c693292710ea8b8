"""The dispatcher's settings and the channels made of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.dispatcher.channels.build import build_channels, build_links
from services.dispatcher.commands import NOBODY
from services.dispatcher.settings import DispatcherSettings

SECRET = "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


def test_by_default_only_the_log_channel_is_served() -> None:
    assert set(build_channels(DispatcherSettings())) == {NOBODY, "log"}


async def test_endpoints_and_a_mail_server_are_served_by_name(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    settings = DispatcherSettings(
        dispatcher_mail_host="mx.example.com",
        dispatcher_webhooks={
            "crm": {"url": "https://crm.example.com/hooks", "secret": SECRET},
            "erp": {"url": "https://erp.example.com/", "secret_file": tmp_path / "secret"},
        },
    )
    channels = build_channels(settings)
    assert set(channels) == {NOBODY, "log", "mail", "webhook:crm", "webhook:erp"}
    assert SECRET not in repr(settings)
    for served in channels.values():
        await served.channel.close()


SMS = {"preset": "twilio", "account": "AC1", "token": "twilio-token", "sender": "+15550001111"}


async def test_providers_are_served_by_their_names_the_first_by_the_channels() -> None:
    settings = DispatcherSettings(
        dispatcher_sms={"one": SMS, "two": {**SMS, "url": "https://sms.example.com"}},
        dispatcher_wecom={"team": {"kind": "bot", "key": "k"}},
    )
    channels = build_channels(settings)
    assert set(channels) == {NOBODY, "log", "sms", "sms:two", "wecom:team"}
    assert "twilio-token" not in repr(settings)
    for served in channels.values():
        await served.channel.close()


def test_the_file_of_a_providers_secret_that_is_missing_ends_the_start(tmp_path: Path) -> None:
    provider = {**SMS, "token": None, "token_file": tmp_path / "missing"}
    with pytest.raises(SystemExit, match="provider sms"):
        build_channels(DispatcherSettings(dispatcher_sms={"one": provider}))


def test_links_are_made_where_there_is_an_address_for_the_world() -> None:
    assert build_links(DispatcherSettings()) is None
    links = build_links(
        DispatcherSettings(
            dispatcher_public_url="https://m.example.com/",
            dispatcher_link_keys=f"{'n' * 32}, {'k' * 32}",
        )
    )
    assert links is not None
    assert links.base_url == "https://m.example.com"


@pytest.mark.parametrize(
    "values",
    [
        {"dispatcher_sms": {"one": {**SMS, "url": "http://a.example/"}}},
        {"dispatcher_sms": {"one": {**SMS, "preset": "pigeon"}}},
        {"dispatcher_sms": {"one": {**SMS, "token": None}}},
        {"dispatcher_sms": {"one": SMS}, "dispatcher_lease_seconds": 39},
        {"dispatcher_sms": {"one": {"preset": "http", "url": "https://a.example/"}}},
        {"dispatcher_push": {"app": {}}},
        {"dispatcher_wecom": {"x": {"kind": "customer", "secret": "s"}}},
        {"dispatcher_public_url": "https://m.example.com"},
        {"dispatcher_public_url": "m.example.com", "dispatcher_link_keys": "k" * 32},
        {"dispatcher_public_url": "https://m.example.com", "dispatcher_link_keys": "short"},
        {"dispatcher_link_keys": "k" * 32},
        {"dispatcher_receipt_secrets": "whsec_short"},
        {"dispatcher_webhooks": {"crm": {"url": "https://a.example/", "secret": "short"}}},
        {"dispatcher_webhooks": {"crm": {"url": "https://a.example/"}}},
        {"dispatcher_webhooks": {"crm": {"url": "http://a.example/", "secret": SECRET}}},
        {"dispatcher_webhooks": {"crm": {"url": "ftp://a.example/", "secret": SECRET}}},
        {"dispatcher_webhooks": {"crm": {"url": "https://u:p@a.example/", "secret": SECRET}}},
        {"dispatcher_webhooks": {"Not a name": {"url": "https://a.example/", "secret": SECRET}}},
        {"dispatcher_lease_seconds": 15, "dispatcher_webhook_timeout_seconds": 10},
        {"dispatcher_lease_seconds": 60, "dispatcher_mail_host": "mx.example.com"},
        {"dispatcher_ledger_days": 7},
        {"dispatcher_when_unknown": "exactly_once"},
        {"dispatcher_mail_from": "Shop\nBcc: x@y"},
    ],
)
def test_what_cannot_be_right_is_refused_without_repeating_secrets(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DispatcherSettings(**values)
    assert SECRET not in str(caught.value.errors(include_input=False))


def test_a_secret_file_that_is_missing_ends_the_start(tmp_path: Path) -> None:
    settings = DispatcherSettings(
        dispatcher_webhooks={
            "crm": {"url": "https://a.example/", "secret_file": tmp_path / "missing"}
        }
    )
    with pytest.raises(SystemExit, match="secret of webhook crm"):
        build_channels(settings)
