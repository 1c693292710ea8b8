"""The other ends of SMS and push: servers that take only what the provider documents."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from pydantic import SecretStr

from services.dispatcher.channels.aliyun import AliyunChannel
from services.dispatcher.channels.outgoing import Outgoing
from services.dispatcher.channels.port import Channel, Message, Outcome
from services.dispatcher.channels.push import FcmChannel
from services.dispatcher.channels.sms import HttpSmsChannel, TwilioChannel
from services.dispatcher.links import Links
from services.dispatcher.provider_settings import (
    AliyunSms,
    FcmPush,
    HttpSms,
    TwilioSms,
)
from tests.dispatcher.counterparts import TIMEOUT_SECONDS, HttpEnd, Mood, Request

NUMBER = "+8613800138000"
SECRET = "a secret of the provider"
LINKS = Links("https://m.example.com", ["k" * 32])
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

FIREBASE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Fitting:
    """Gives the suite's messages what the channel needs, and the send's id to go by."""

    def __init__(self, channel: Channel, fit: Callable[[Message], Message]) -> None:
        self.inner = channel
        self._fit = fit

    @property
    def idempotent(self) -> bool:
        """As the channel is."""
        return self.inner.idempotent

    async def send(self, message: Message) -> Outcome:
        """Send it, fitted."""
        return await self.inner.send(self._fit(message))

    async def close(self) -> None:
        """Close the channel."""
        await self.inner.close()


class ProviderEnd(HttpEnd):
    """A provider's server. What does not fit its documents is an error of the test."""

    name: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.mood: Mood = "accept"
        self.wrong: list[str] = []

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel that speaks to this end."""
        raise NotImplementedError

    def be(self, mood: Mood) -> None:
        self.mood = mood

    def check(self, holds: bool, what: str) -> None:
        """Remember what did not fit."""
        if not holds:
            self.wrong.append(what)

    def accept(self, text: str) -> None:
        """The id of the send that the text holds has arrived."""
        found = _UUID.search(text)
        self._accepted.append(found[0] if found else text)


def as_json(status: str, value: Any) -> tuple[str, bytes]:
    """An answer of JSON."""
    return status, msgspec.json.encode(value)


class TwilioEnd(ProviderEnd):
    """POST /2010-04-01/Accounts/{sid}/Messages.json, a form with Basic authentication."""

    name = "twilio"

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel."""
        provider = TwilioSms.model_validate(
            {
                "preset": "twilio",
                "url": self.url,
                "account": "AC01",
                "token": SECRET,
                "sender": "MG7",
            }
        )
        channel = TwilioChannel(provider, name="main", outgoing=outgoing, links=LINKS)
        return Fitting(channel, lambda m: msgspec.structs.replace(m, to=NUMBER, channel="sms"))

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        form = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        pair = base64.b64encode(f"AC01:{SECRET}".encode()).decode()
        self.check(request.headers["authorization"] == f"Basic {pair}", "authorization")
        self.check(request.target == "/2010-04-01/Accounts/AC01/Messages.json", "path")
        self.check(
            set(form) == {"To", "Body", "MessagingServiceSid", "StatusCallback"}, f"form {form}"
        )
        self.check(form["To"] == NUMBER, "To")
        if self.mood == "silent":
            return None
        if self.mood == "busy":
            return as_json("429 Too Many Requests", {"code": 20429, "status": 429})
        if self.mood == "refuse":
            return as_json("400 Bad Request", {"code": 21211, "message": form["To"], "status": 400})
        link = LINKS.read("status", form["StatusCallback"].rpartition("/")[2])
        self.check(link is not None and link.url == "main", "StatusCallback")
        self.accept("" if link is None else link.send_id)
        return as_json("201 Created", {"sid": "SM01", "status": "queued", "to": form["To"]})


class AliyunEnd(ProviderEnd):
    """SendSms, whose signature is computed here once more from what came over the wire."""

    name = "aliyun"

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel."""
        provider = AliyunSms.model_validate(
            {"preset": "aliyun", "url": self.url, "key_id": "LTAI", "secret": SECRET,
             "sign_name": "小店 & Co"}
        )  # fmt: skip
        return Fitting(
            AliyunChannel(provider, outgoing=outgoing),
            lambda m: msgspec.structs.replace(
                m, to=NUMBER, subject="SMS_1", body=json.dumps({"name": m.body}), channel="sms"
            ),
        )

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        self.check(request.headers["authorization"] == self._expected(request), "signature")
        self.check(request.headers["x-acs-action"] == "SendSms", "action")
        self.check(request.headers["x-acs-version"] == "2017-05-25", "version")
        form = dict(parse_qsl(urlsplit(request.target).query, strict_parsing=True))
        self.check(form["PhoneNumbers"] == "13800138000", "PhoneNumbers")
        self.check(form["SignName"] == "小店 & Co", "SignName")
        self.check(isinstance(json.loads(form["TemplateParam"]), dict), "TemplateParam")
        self.check(form["TemplateCode"] == "SMS_1", "TemplateCode")
        if self.mood == "silent":
            return None
        if self.mood == "busy":
            return as_json("400 Bad Request", {"Code": "Throttling.User", "Message": "slow"})
        if self.mood == "refuse":
            return as_json(
                "200 OK", {"Code": "isv.MOBILE_NUMBER_ILLEGAL", "Message": form["OutId"]}
            )
        self.accept(form["OutId"])
        return as_json("200 OK", {"Code": "OK", "Message": "OK", "BizId": "9^0", "RequestId": "R"})

    def _expected(self, request: Request) -> str:
        path, _, query = request.target.partition("?")
        pairs = sorted(parse_qsl(query, keep_blank_values=True))
        canonical = "&".join(f"{quote(n, safe='~')}={quote(v, safe='~')}" for n, v in pairs)
        names = sorted(n for n in request.headers if n.startswith("x-acs-") or n == "host")
        lines = "".join(f"{name}:{request.headers[name]}\n" for name in names)
        body = hashlib.sha256(request.body).hexdigest()
        whole = "\n".join([request.method, path, canonical, lines, ";".join(names), body])
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(whole.encode()).hexdigest()
        signature = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        signed = ";".join(names)
        return f"ACS3-HMAC-SHA256 Credential=LTAI,SignedHeaders={signed},Signature={signature}"


class HttpSmsEnd(ProviderEnd):
    """A provider of the settings: JSON with a bearer token, its verdict in `code`."""

    name = "http_sms"
    settings: ClassVar[dict[str, Any]] = {
        "preset": "http",
        "secret": SECRET,
        "headers": {"authorization": "Bearer {{ secret }}"},
        "body": {"to": ["{{ to }}"], "sms": {"text": "{{ text }}", "ref": "{{ send_id }}"}, "v": 2},
        "accepted": {"path": "code", "values": ["0"]},
        "busy": {"path": "code", "values": ["17", "18"]},
        "id_path": "ids.0",
        "idempotent": True,
    }

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel."""
        provider = HttpSms.model_validate({**self.settings, "url": self.url + "/send?v=1"})
        channel = HttpSmsChannel(provider, outgoing=outgoing)
        return Fitting(channel, lambda m: msgspec.structs.replace(m, to=NUMBER, channel="sms"))

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        self.check(request.headers["authorization"] == f"Bearer {SECRET}", "authorization")
        self.check(request.target == "/send?v=1", "target")
        told = json.loads(request.body)
        self.check(set(told) == {"to", "sms", "v"} and told["v"] == 2, "body")
        self.check(told["to"] == [NUMBER], "to")
        if self.mood == "silent":
            return None
        if self.mood == "busy":
            return as_json("200 OK", {"code": 17})
        if self.mood == "refuse":
            return as_json("200 OK", {"code": 3, "error": told["to"]})
        self.accept(told["sms"]["ref"])
        return as_json("200 OK", {"code": 0, "ids": ["m1"]})


class FcmEnd(ProviderEnd):
    """The token endpoint (RFC 7523) and projects.messages.send of HTTP v1."""

    name = "fcm"

    def __init__(self) -> None:
        super().__init__()
        self.tokens_given = 0
        self.expires_in = 3600

    def make(self, outgoing: Outgoing) -> Channel:
        """The channel."""
        pem = FIREBASE_KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "project_id": "shop-1",
            "client_email": "push@shop-1.example",
            "private_key_id": "kid1",
            "private_key": pem.decode(),
            "token_uri": f"{self.url}/token",
        }
        provider = FcmPush.model_validate(
            {"url": self.url, "account": SecretStr(json.dumps(account))}
        )
        channel = FcmChannel(provider, outgoing=outgoing)
        return Fitting(channel, lambda m: msgspec.structs.replace(m, to="device", channel="push"))

    def answer(self, request: Request) -> tuple[str, bytes] | None:
        if request.target == "/token":
            return self._token(request)
        self.check(request.target == "/v1/projects/shop-1/messages:send", "path")
        if request.headers["authorization"] != f"Bearer at-{self.tokens_given}":
            return as_json("401 Unauthorized", {"error": {"status": "UNAUTHENTICATED"}})
        message = json.loads(request.body)["message"]
        self.check(message["token"] == "device", "token")
        self.check(set(message["notification"]) == {"title", "body"}, "notification")
        self.check(all(isinstance(v, str) for v in message["data"].values()), "data is text")
        fields = {"token", "notification", "data", "android", "apns"}
        self.check(set(message) == fields, "fields")
        if self.mood == "silent":
            return None
        if self.mood == "busy":
            return as_json("503 Service Unavailable", {"error": {"status": "UNAVAILABLE"}})
        if self.mood == "refuse":
            kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
            details = [{"@type": kind, "errorCode": "UNREGISTERED"}]
            error = {"code": 404, "status": "NOT_FOUND", "details": details}
            return as_json("404 Not Found", {"error": error})
        self.accept(message["data"]["send_id"])
        return as_json("200 OK", {"name": "projects/shop-1/messages/0:1"})

    def _token(self, request: Request) -> tuple[str, bytes]:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.check(form["grant_type"].endswith(":jwt-bearer"), "grant_type")
        head, claims, signature = form["assertion"].split(".")
        FIREBASE_KEY.public_key().verify(
            _unpadded(signature), f"{head}.{claims}".encode(), PKCS1v15(), hashes.SHA256()
        )
        self.check(
            json.loads(_unpadded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "kid1"}, "head"
        )
        said = json.loads(_unpadded(claims))
        self.check(said["iss"] == "push@shop-1.example", "iss")
        self.check(said["aud"] == f"{self.url}/token", "aud")
        self.check(said["scope"].endswith("/firebase.messaging"), "scope")
        self.check(0 < said["exp"] - said["iat"] <= 3600, "exp")
        self.tokens_given += 1
        return as_json(
            "200 OK",
            {
                "access_token": f"at-{self.tokens_given}",
                "expires_in": self.expires_in,
                "token_type": "Bearer",
            },
        )


P = TypeVar("P", bound=ProviderEnd)


@asynccontextmanager
async def provider_end(kind: type[P]) -> AsyncIterator[P]:
    """A channel and its provider's server, which found nothing wrong with any request."""
    end = kind()
    server = await asyncio.start_server(end.handle, "127.0.0.1", 0)
    end.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    outgoing = Outgoing(timeout_seconds=TIMEOUT_SECONDS, private_allowed=True, connections_max=20)
    end.channel = end.make(outgoing)
    try:
        yield end
    finally:
        await end.channel.close()
        server.close()
        await end.close()
    assert end.wrong == []


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
