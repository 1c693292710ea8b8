"""The other ends of WeCom, and all ends together."""

import json
from urllib.parse import parse_qsl, urlsplit

import msgspec

from services.dispatcher.channels.outgoing import Outgoing
from services.dispatcher.channels.port import Channel
from services.dispatcher.channels.wecom import WecomBotChannel, WecomCustomerChannel
from services.dispatcher.provider_settings import WecomBot, WecomCustomer
from tests.dispatcher.counterparts import Request
from tests.dispatcher.providers import (
    SECRET,
    AliyunEnd,
    FcmEnd,
    Fitting,
    HttpSmsEnd,
    ProviderEnd,
    TwilioEnd,
    as_json,
)


class WecomBotEnd(ProviderEnd):
    """POST /cgi-bin/webhook/send?key=…"""

    name = "wecom_bot"

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel."""
        provider = WecomBot.model_validate({"kind": "bot", "url": self.url, "key": "k-1"})
        channel = WecomBotChannel(provider, outgoing=outgoing)
        return Fitting(
            channel, lambda m: msgspec.structs.replace(m, body=f"{m.body[:9]} {m.send_id}")
        )

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        self.check(request.target == "/cgi-bin/webhook/send?key=k-1", "target")
        told = json.loads(request.body)
        self.check(told["msgtype"] == "text" and set(told["text"]) == {"content"}, "text")
        if self.mood == "silent":
            return None
        if self.mood == "busy":
            return as_json("200 OK", {"errcode": 45009, "errmsg": "api freq out of limit"})
        if self.mood == "refuse":
            return as_json("200 OK", {"errcode": 40058, "errmsg": told["text"]["content"]})
        self.accept(told["text"]["content"])
        return as_json("200 OK", {"errcode": 0, "errmsg": "ok"})


class WecomCustomerEnd(ProviderEnd):
    """GET /cgi-bin/gettoken, POST /cgi-bin/externalcontact/add_msg_template."""

    name = "wecom_customer"

    def __init__(self) -> None:
        super().__init__()
        self.tokens_given = 0
        self.revoked = False

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel."""
        provider = WecomCustomer.model_validate(
            {"kind": "customer", "url": self.url, "corp_id": "ww1", "secret": SECRET,
             "sender": "zhang"}
        )  # fmt: skip
        channel = WecomCustomerChannel(provider, outgoing=outgoing)
        return Fitting(
            channel,
            lambda m: msgspec.structs.replace(m, to="wm1", body=f"{m.body[:9]} {m.send_id}"),
        )

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        target = urlsplit(request.target)
        query = dict(parse_qsl(target.query))
        if target.path == "/cgi-bin/gettoken":
            self.check(query == {"corpid": "ww1", "corpsecret": SECRET}, "gettoken")
            self.tokens_given += 1
            token = f"at-{self.tokens_given}"
            return as_json("200 OK", {"errcode": 0, "access_token": token, "expires_in": 7200})
        self.check(target.path == "/cgi-bin/externalcontact/add_msg_template", "path")
        if query != {"access_token": f"at-{self.tokens_given}"} or self.revoked:
            return as_json("200 OK", {"errcode": 42001, "errmsg": "access_token expired"})
        told = json.loads(request.body)
        self.check(told["chat_type"] == "single" and told["sender"] == "zhang", "sender")
        self.check(told["external_userid"] == ["wm1"], "external_userid")
        if self.mood == "silent":
            return None
        if self.mood == "busy":
            return as_json("200 OK", {"errcode": 45033, "errmsg": "concurrency"})
        if self.mood == "refuse":
            return as_json("200 OK", {"errcode": 0, "fail_list": ["wm1"], "msgid": "m"})
        self.accept(told["text"]["content"])
        return as_json("200 OK", {"errcode": 0, "errmsg": "ok", "fail_list": [], "msgid": "m1"})


ENDS: tuple[type[ProviderEnd], ...] = (
    TwilioEnd,
    AliyunEnd,
    HttpSmsEnd,
    FcmEnd,
    WecomBotEnd,
    WecomCustomerEnd,
)
