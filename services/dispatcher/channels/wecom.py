"""WeCom (enterprise WeChat): a bot in a group chat, and messages to customers."""

from typing import Any, Final

import msgspec
from yarl import URL

from services.dispatcher.channels.outgoing import Outgoing, Reply
from services.dispatcher.channels.port import (
    Accepted,
    Delayed,
    Message,
    Outcome,
    Refused,
    Unknown,
)
from services.dispatcher.channels.tokens import Token, Tokens
from services.dispatcher.provider_settings import WecomBot, WecomCustomer

BOT_TEXT_BYTES_MAX: Final = 2048
CUSTOMER_TEXT_BYTES_MAX: Final = 4000
_JSON: Final = {"content-type": "application/json"}
_TOKEN_CODES: Final = frozenset({40001, 40014, 41001, 42001})
_BUSY_CODES: Final = frozenset({-1, 45009, 45033, 6000})
"""Busy, too often, too many at once, changed by another at the same time."""
_ADDRESS_CODES: Final = frozenset({40096, 84061})
"""No such customer, or none of this member's any more."""
_OPERATOR_CODES: Final = frozenset({40013, 40091, 48002, 60011, 60020, 93000})
"""Wrong company, secret, rights, address of the sender, or key: mended while commands wait."""


def _text_of(message: Message, bytes_max: int) -> str | Refused:
    text = "\n".join(part for part in (message.subject, message.body) if part)
    if not text:
        return Refused(reason="nothing to say")
    if len(text.encode()) > bytes_max:
        return Refused(reason=f"longer than {bytes_max} bytes")
    return text


def _trouble(reply: Reply) -> Outcome | None:
    """None where the answer says that all is well; answers are 200 whatever they say."""
    trouble = reply.trouble(repeatable=False)
    if trouble is not None:
        return trouble
    code = reply.json().get("errcode")
    if not isinstance(code, int):
        return Unknown(reason="an answer without errcode")
    if code == 0:
        return None
    reason = f"errcode {code}"
    if code in _BUSY_CODES or code in _OPERATOR_CODES or code in _TOKEN_CODES:
        return Delayed(reason=reason, retry_after_seconds=reply.retry_after_seconds)
    return Refused(reason=reason, about_address=code in _ADDRESS_CODES)


class WecomBotChannel:
    """Writes into one group chat, whoever the person is. Not idempotent."""

    idempotent: Final = False

    def __init__(self, provider: WecomBot, *, outgoing: Outgoing) -> None:
        base = URL(str(provider.url)) / "cgi-bin/webhook/send"
        self._url = base.with_query(key=provider.read("key"))
        self._outgoing = outgoing

    async def send(self, message: Message) -> Outcome:
        """By the `errcode` of the answer."""
        text = _text_of(message, BOT_TEXT_BYTES_MAX)
        if isinstance(text, Refused):
            return text
        body = msgspec.json.encode({"msgtype": "text", "text": {"content": text}})
        reply = await self._outgoing.request("POST", self._url, headers=_JSON, body=body)
        if not isinstance(reply, Reply):
            return reply
        return _trouble(reply) or Accepted()

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()


class WecomCustomerChannel:
    """Hands a message for one customer (`external_userid`) to the member who looks after them.

    It is on its way once that member confirms it. Not idempotent.
    """

    idempotent: Final = False

    def __init__(self, provider: WecomCustomer, *, outgoing: Outgoing) -> None:
        base = URL(str(provider.url)) / "cgi-bin"
        secret = provider.read("secret")
        self._token_url = (base / "gettoken").with_query(corpid=provider.corp_id, corpsecret=secret)
        self._url = base / "externalcontact/add_msg_template"
        self._sender = provider.sender
        self._outgoing = outgoing
        self._tokens = Tokens(self._fetch)

    async def send(self, message: Message) -> Outcome:
        """By `errcode`, and by the list of customers whom it could not be made for."""
        if not message.to:
            return Refused(reason="no address")
        text = _text_of(message, CUSTOMER_TEXT_BYTES_MAX)
        if isinstance(text, Refused):
            return text
        token = await self._tokens.get()
        if not isinstance(token, str):
            return token
        body = {
            "chat_type": "single",
            "external_userid": [message.to],
            "sender": self._sender,
            "text": {"content": text},
        }
        reply = await self._outgoing.request(
            "POST",
            self._url.with_query(access_token=token),
            headers=_JSON,
            body=msgspec.json.encode(body),
        )
        if not isinstance(reply, Reply):
            return reply
        answer: dict[str, Any] = reply.json()
        if answer.get("errcode") in _TOKEN_CODES:
            self._tokens.forget(token)
        trouble = _trouble(reply)
        if trouble is not None:
            return trouble
        if answer.get("fail_list"):
            return Refused(reason="not a customer of the sender", about_address=True)
        msgid = answer.get("msgid")
        return Accepted(provider_id=msgid if isinstance(msgid, str) else None)

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()

    async def _fetch(self) -> Token | Outcome:
        reply = await self._outgoing.request("GET", self._token_url, headers={})
        if not isinstance(reply, Reply):
            # Nothing has been sent yet, whatever became of the question for a token.
            return Delayed(reason="no access token") if isinstance(reply, Unknown) else reply
        answer = reply.json()
        value, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not isinstance(seconds, int):
            return Delayed(reason=f"no access token: errcode {answer.get('errcode', '?')}")
        return Token(value=value, seconds=seconds)
