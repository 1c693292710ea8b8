"""SMS, push and WeCom beyond the port: signatures, tokens, what each refusal means, settings."""

import json
import time
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import msgspec
import pytest
from pydantic import ValidationError

from services.contracts.time import SECOND
from services.dispatcher.channels.aliyun import canonical_query, signed_headers
from services.dispatcher.channels.outgoing import Outgoing
from services.dispatcher.channels.port import Accepted, Delayed, Outcome, Refused, Unknown
from services.dispatcher.channels.push import FcmChannel
from services.dispatcher.channels.sms import HttpSmsChannel
from services.dispatcher.provider_settings import FcmPush, HttpSms, TwilioSms
from tests.dispatcher.counterparts import Request
from tests.dispatcher.providers import (
    NUMBER,
    SECRET,
    AliyunEnd,
    FcmEnd,
    Fitting,
    HttpSmsEnd,
    ProviderEnd,
    TwilioEnd,
    provider_end,
)
from tests.dispatcher.support import a_message
from tests.dispatcher.wecom_ends import ENDS, WecomBotEnd, WecomCustomerEnd


def test_the_signature_agrees_with_the_example_of_alibaba_cloud() -> None:
    query = canonical_query(
        {
            "RegionId": "cn-shanghai",
            "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
        }
    )
    headers = signed_headers(
        method="POST",
        host="ecs.cn-shanghai.aliyuncs.com",
        path="/",
        query=query,
        action="RunInstances",
        version="2014-05-26",
        at="2023-10-26T10:22:32Z",
        nonce="3156853299f313e23d1673dc12e1703d",
        key_id="YourAccessKeyId",
        secret="YourAccessKeySecret",
    )
    assert headers["authorization"].endswith(
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


@pytest.mark.parametrize("number", [None, "", "13800138000", "+0123456", "+1 555", "+1555\n", "a"])
@pytest.mark.parametrize("kind", [TwilioEnd, AliyunEnd, HttpSmsEnd])
async def test_what_is_no_number_is_refused_before_anybody_is_asked(
    kind: type[ProviderEnd], number: str | None
) -> None:
    async with provider_end(kind) as end:
        assert isinstance(end.channel, Fitting)
        outcome = await end.channel.inner.send(a_message(1, to=number, subject="SMS_1", body="{}"))
        assert isinstance(outcome, Refused)
        assert outcome.about_address == (number is not None)
        assert end.requests == []


@pytest.mark.parametrize("kind", [TwilioEnd, AliyunEnd, FcmEnd, WecomCustomerEnd])
async def test_a_refused_address_is_told_from_other_refusals(kind: type[ProviderEnd]) -> None:
    async with provider_end(kind) as end:
        end.be("refuse")
        outcome = await end.channel.send(a_message(1))
        assert isinstance(outcome, Refused)
        assert outcome.about_address


@pytest.mark.parametrize(
    ("kind", "status", "value", "about_address"),
    [
        *((TwilioEnd, "400 Bad", {"code": code}, True) for code in (21211, 21610, 21614)),
        *((TwilioEnd, "400 Bad", {"code": code}, False) for code in (21408, 21612, 21617, 30008)),
        (AliyunEnd, "200 OK", {"Code": "isv.MOBILE_NUMBER_ILLEGAL"}, True),
        (AliyunEnd, "200 OK", {"Code": "isv.MOBILE_COUNT_OVER_LIMIT"}, False),
        (WecomCustomerEnd, "200 OK", {"errcode": 40096}, True),
        (WecomCustomerEnd, "200 OK", {"errcode": 0, "fail_list": ["wm1"]}, True),
        (WecomCustomerEnd, "200 OK", {"errcode": 41048}, False),
        (FcmEnd, "404 Gone", {"error": {"details": [{"errorCode": "UNREGISTERED"}]}}, True),
        (FcmEnd, "404 Gone", {"error": {"status": "NOT_FOUND"}}, False),
        (FcmEnd, "403 No", {"error": {"details": [{"errorCode": "SENDER_ID_MISMATCH"}]}}, False),
        (FcmEnd, "400 Bad", {"error": {"status": "INVALID_ARGUMENT"}}, False),
    ],
)
async def test_only_what_is_wrong_with_the_address_counts_against_it(
    kind: type[ProviderEnd], status: str, value: dict[str, Any], about_address: bool
) -> None:
    """Else a mistake of ours would quarantine everybody it was tried on."""
    token = {"access_token": "t", "expires_in": 3600}
    outcome = await said(kind, status, value, token)
    assert isinstance(outcome, Refused)
    assert outcome.about_address is about_address


class Saying(ProviderEnd):
    """Answers whatever is asked by the same words."""

    said: tuple[str, dict[str, Any]]
    token: dict[str, Any] | None = None

    def answer(self, request: Request) -> tuple[str, bytes]:
        status, value = self.said
        if self.token is not None and request.target.partition("?")[0].endswith("token"):
            return "200 OK", msgspec.json.encode(self.token)
        return status, msgspec.json.encode(value)


async def said(
    kind: type[ProviderEnd], status: str, value: dict[str, Any], token: dict[str, Any] | None = None
) -> Outcome:
    """What the channel makes of an answer; a question for a token is answered by `token`."""
    told = {"said": (status, value), "token": token}
    saying: type[ProviderEnd] = type("Saying", (Saying, kind), told)
    async with provider_end(saying) as end:
        return await end.channel.send(a_message(1))


@pytest.mark.parametrize(
    ("kind", "status", "value", "outcome"),
    [
        (TwilioEnd, "201 Created", {"sid": "SM1"}, Accepted(provider_id="SM1")),
        (TwilioEnd, "401 No", {"code": 20003}, Delayed(reason="credentials refused")),
        (TwilioEnd, "400 Bad", {"code": 21617}, Refused(reason="code 21617")),
        (TwilioEnd, "500 Oops", {}, Unknown(reason="status 500")),
        (TwilioEnd, "502 Bad Gateway", {}, Unknown(reason="status 502")),
        (TwilioEnd, "503 Busy", {}, Delayed(reason="status 503")),
        (AliyunEnd, "200 OK", {"Code": "OK", "BizId": "1^0"}, Accepted(provider_id="1^0")),
        (AliyunEnd, "200 OK", {"Code": "isv.BUSINESS_LIMIT_CONTROL"},
         Delayed(reason="code isv.BUSINESS_LIMIT_CONTROL")),
        (AliyunEnd, "400 Bad", {"Code": "SignatureDoesNotMatch"},
         Delayed(reason="code SignatureDoesNotMatch")),
        (AliyunEnd, "200 OK", {"Code": "isv.SMS_TEMPLATE_ILLEGAL"},
         Refused(reason="code isv.SMS_TEMPLATE_ILLEGAL")),
        (AliyunEnd, "500 Oops", {"Code": "InternalError"}, Unknown(reason="code InternalError")),
        (AliyunEnd, "200 OK", {}, Unknown(reason="an answer without code")),
        (HttpSmsEnd, "200 OK", {"code": "0", "ids": []}, Accepted()),
        (HttpSmsEnd, "200 OK", {"code": 18}, Delayed(reason="busy")),
        (HttpSmsEnd, "200 OK", {}, Refused(reason="not accepted by its answer")),
        (HttpSmsEnd, "500 Oops", {}, Delayed(reason="status 500")),
        (WecomBotEnd, "200 OK", {"errcode": -1}, Delayed(reason="errcode -1")),
        (WecomBotEnd, "200 OK", {"errcode": 93000}, Delayed(reason="errcode 93000")),
        (WecomBotEnd, "200 OK", {"errcode": 40008}, Refused(reason="errcode 40008")),
        (WecomBotEnd, "200 OK", {}, Unknown(reason="an answer without errcode")),
        (FcmEnd, "500 Oops", {}, Delayed(reason="no access token: status 500")),
        (WecomCustomerEnd, "200 OK", {"errcode": 40001},
         Delayed(reason="no access token: errcode 40001")),
    ],
)  # fmt: skip
async def test_each_answer_means_what_the_provider_documents(
    kind: type[ProviderEnd], status: str, value: dict[str, Any], outcome: Outcome
) -> None:
    assert await said(kind, status, value) == outcome


@pytest.mark.parametrize("kind", [FcmEnd, WecomCustomerEnd])
async def test_one_token_serves_many_sends(kind: type[FcmEnd | WecomCustomerEnd]) -> None:
    async with provider_end(kind) as end:
        for number in range(3):
            assert isinstance(await end.channel.send(a_message(number)), Accepted)
        assert end.tokens_given == 1


async def test_a_token_about_to_end_is_replaced() -> None:
    async with provider_end(FcmEnd) as end:
        end.expires_in = 59
        for number in range(2):
            assert isinstance(await end.channel.send(a_message(number)), Accepted)
        assert end.tokens_given == 2


@pytest.mark.parametrize("kind", [FcmEnd, WecomCustomerEnd])
async def test_a_token_that_is_refused_is_fetched_anew_at_the_next_try(
    kind: type[FcmEnd | WecomCustomerEnd],
) -> None:
    async with provider_end(kind) as end:
        assert isinstance(await end.channel.send(a_message(1)), Accepted)
        end.tokens_given += 1  # as if another process had made ours invalid
        assert isinstance(await end.channel.send(a_message(2)), Delayed)
        assert isinstance(await end.channel.send(a_message(2)), Accepted)


async def test_a_push_lives_no_longer_than_its_command() -> None:
    soon = (int(time.time()) + 100) * SECOND
    async with provider_end(FcmEnd) as end:
        await end.channel.send(a_message(1, expires_at=soon))
        message = json.loads(end.requests[-1].body)["message"]
    assert 90 <= int(message["android"]["ttl"].removesuffix("s")) <= 100
    assert message["apns"]["headers"]["apns-expiration"] == str(soon // SECOND)


async def test_texts_beyond_what_the_provider_takes_are_refused() -> None:
    async with provider_end(WecomBotEnd) as end:
        assert isinstance(end.channel, Fitting)
        outcome = await end.channel.inner.send(a_message(1, body="长" * 700))
        assert outcome == Refused(reason="longer than 2048 bytes")


@pytest.mark.parametrize(
    ("subject", "body"), [("", "{}"), ("SMS_1", "hello"), ("SMS_1", "[1]"), ("SMS_1", '"a"')]
)
async def test_alibaba_cloud_is_sent_templates_alone(subject: str, body: str) -> None:
    async with provider_end(AliyunEnd) as end:
        assert isinstance(end.channel, Fitting)
        message = a_message(1, to=NUMBER, subject=subject, body=body)
        assert isinstance(await end.channel.inner.send(message), Refused)
        assert end.requests == []


class FormEnd(HttpSmsEnd):
    """A provider that takes a form."""

    settings: ClassVar[dict[str, Any]] = {
        "preset": "http",
        "secret": SECRET,
        "headers": {"x-key": "{{ secret }}"},
        "form": {"mobile": "{{ to }}", "msg": "{{ text }}", "ref": "{{ send_id }}"},
    }

    def answer(self, request: Request) -> tuple[str, bytes]:
        self.accept(dict(parse_qsl(request.body.decode(), strict_parsing=True))["ref"])
        return "204 No Content", b""


async def test_a_form_holds_what_the_settings_say_and_nothing_of_a_text_breaks_it() -> None:
    async with provider_end(FormEnd) as end:
        await end.channel.send(a_message(1, body="a&b=c {{ to }}\nX: y"))
        form = dict(parse_qsl(end.requests[0].body.decode(), strict_parsing=True))
        assert form["mobile"] == NUMBER
        assert form["msg"] == "a&b=c {{ to }}\nX: y"
        assert end.requests[0].headers["x-key"] == SECRET


async def test_no_value_can_add_a_header() -> None:
    provider = HttpSms.model_validate(
        {"preset": "http", "url": "http://127.0.0.1:9/", "form": {}, "headers": {"x": "{{ text }}"}}
    )
    client = Outgoing(timeout_seconds=1.0, private_allowed=True, connections_max=1)
    channel = HttpSmsChannel(provider, outgoing=client)
    outcome = await channel.send(a_message(1, to=NUMBER, body="a\r\nX-Other: b"))
    assert outcome == Refused(reason="a header would hold a line break")


@pytest.mark.parametrize("kind", ENDS)
async def test_a_private_provider_is_not_spoken_to(kind: type[ProviderEnd]) -> None:
    async with provider_end(kind) as end:
        guarded = Outgoing(timeout_seconds=1.0, private_allowed=False, connections_max=1)
        channel = end.make(guarded)
        outcome = await channel.send(a_message(1))
        await channel.close()
        assert outcome == Refused(reason="private address")
        assert end.requests == []


def test_secrets_are_read_from_files_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET + "\n")
    values = {"preset": "twilio", "account": "AC1", "sender": "+1555000"}
    from_file = TwilioSms.model_validate({**values, "token_file": tmp_path / "token"})
    given = TwilioSms.model_validate({**values, "token": SECRET})
    assert from_file.read("token") == given.read("token") == SECRET
    assert SECRET not in repr(given)
    for wrong in ({}, {"token": SECRET, "token_file": "x"}):
        with pytest.raises(ValidationError) as caught:
            TwilioSms.model_validate({**values, **wrong})
        assert SECRET not in str(caught.value.errors(include_input=False))
    with pytest.raises(OSError):
        TwilioSms.model_validate({**values, "token_file": tmp_path / "gone"}).read("token")


@pytest.mark.parametrize("account", ["{}", "no json", '{"private_key": "secret-part"}'])
def test_what_is_no_service_account_ends_the_start_unrepeated(account: str) -> None:
    client = Outgoing(timeout_seconds=1.0, private_allowed=False, connections_max=1)
    with pytest.raises(ValueError, match="service account") as caught:
        FcmChannel(FcmPush.model_validate({"account": account}), outgoing=client)
    assert "secret-part" not in str(caught.value)
