"""SMS by HTTP: Twilio's Messages API, and any provider that settings describe."""

import base64
import re
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from yarl import URL

from services.contracts.errors import Malformed
from services.dispatcher.channels.outgoing import Outgoing, Reply
from services.dispatcher.channels.port import Accepted, Delayed, Message, Outcome, Refused
from services.dispatcher.links import Links
from services.dispatcher.provider_settings import AnswerRule, HttpSms, TwilioSms
from services.runtime.templates import render

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_FORM: Final = "application/x-www-form-urlencoded"
_TWILIO_ADDRESS_CODES: Final = frozenset({21211, 21214, 21217, 21401, 21610, 21614})
"""Codes by which it says that this number is none, no mobile one, or has asked for no more; not
those by which the account may not write to its country or not from our sender."""


def bad_number(message: Message) -> Refused | None:
    """None for a number in the form of E.164."""
    if message.to is None:
        return Refused(reason="no address")
    if _E164.fullmatch(message.to) is None:
        return Refused(reason="bad address", about_address=True)
    return None


class TwilioChannel:
    """Each message asks to be told of, where `links` say at which address.

    Not idempotent: the API knows no key to tell a repeat by.
    """

    idempotent: Final = False

    def __init__(
        self, provider: TwilioSms, *, name: str, outgoing: Outgoing, links: Links | None
    ) -> None:
        path = f"2010-04-01/Accounts/{provider.account}/Messages.json"
        self._url = URL(str(provider.url)) / path
        pair = f"{provider.account}:{provider.read('token')}".encode()
        self._headers = {
            "content-type": _FORM,
            "authorization": "Basic " + base64.b64encode(pair).decode(),
        }
        service = provider.sender.startswith("MG")
        self._sender = {"MessagingServiceSid" if service else "From": provider.sender}
        self._name = name
        self._links = links
        self._outgoing = outgoing

    async def send(self, message: Message) -> Outcome:
        """Accepted with the message's `sid`; refused numbers are told from other refusals."""
        refusal = bad_number(message)
        if refusal is not None:
            return refusal
        form = {"To": message.to or "", "Body": message.body, **self._sender}
        if self._links is not None:
            form["StatusCallback"] = self._links.status(message, self._name)
        reply = await self._outgoing.request(
            "POST", self._url, headers=self._headers, body=urlencode(form).encode()
        )
        if not isinstance(reply, Reply):
            return reply
        answer = reply.json()
        trouble = reply.trouble(repeatable=False)
        if trouble is None:
            return Accepted(provider_id=_text(answer.get("sid")))
        if reply.status == 401:
            # An operator's mistake, mended while commands wait.
            return Delayed(reason="credentials refused")
        code = answer.get("code")
        if isinstance(trouble, Refused) and isinstance(code, int):
            return Refused(reason=f"code {code}", about_address=code in _TWILIO_ADDRESS_CODES)
        return trouble

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()


class HttpSmsChannel:
    """A provider that is nothing but settings; see `HttpSms`."""

    def __init__(self, provider: HttpSms, *, outgoing: Outgoing) -> None:
        self.idempotent = provider.idempotent
        self._provider = provider
        self._url = URL(str(provider.url), encoded=True)
        self._secret = provider.read("secret")
        self._outgoing = outgoing

    async def send(self, message: Message) -> Outcome:
        """What the settings make of the answer."""
        refusal = bad_number(message)
        if refusal is not None:
            return refusal
        provider = self._provider
        values = {
            "to": message.to,
            "text": message.body,
            "send_id": message.send_id,
            "secret": self._secret,
        }
        try:
            headers = {name: render(text, values) for name, text in provider.headers.items()}
            if provider.form is not None:
                kind = _FORM
                form = {name: render(text, values) for name, text in provider.form.items()}
                body = urlencode(form).encode()
            else:
                kind = "application/json"
                body = msgspec.json.encode(_filled(provider.body, values))
        except Malformed as error:
            return Refused(reason=str(error))
        if any(not text.isprintable() for text in headers.values()):
            return Refused(reason="a header would hold a line break")
        reply = await self._outgoing.request(
            "POST", self._url, headers={"content-type": kind, **headers}, body=body
        )
        return reply if not isinstance(reply, Reply) else self._outcome(reply)

    def _outcome(self, reply: Reply) -> Outcome:
        provider, answer = self._provider, reply.json()
        if provider.busy is not None and _fits(provider.busy, answer):
            return Delayed(reason="busy", retry_after_seconds=reply.retry_after_seconds)
        trouble = reply.trouble(repeatable=provider.idempotent)
        if trouble is not None:
            return trouble
        if provider.accepted is not None and not _fits(provider.accepted, answer):
            return Refused(reason="not accepted by its answer")
        return Accepted(provider_id=_text(_value(provider.id_path or "", answer)))

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()


def _filled(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, str):
        return render(value, values)
    if isinstance(value, dict):
        return {name: _filled(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    return value


def _value(path: str, answer: Any) -> Any:
    for part in path.split("."):
        if isinstance(answer, list) and part.isdecimal() and int(part) < len(answer):
            answer = answer[int(part)]
        elif isinstance(answer, dict):
            answer = answer.get(part)
        else:
            return None
    return answer


def _fits(rule: AnswerRule, answer: Any) -> bool:
    found = _text(_value(rule.path, answer))
    return found is not None and found in rule.values


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else None
