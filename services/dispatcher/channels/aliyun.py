"""SMS by Alibaba Cloud: SendSms of version 2017-05-25, signed by ACS3-HMAC-SHA256."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

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
from services.dispatcher.channels.sms import bad_number
from services.dispatcher.provider_settings import AliyunSms

_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_VERSION: Final = "2017-05-25"
_ADDRESS_CODES: Final = frozenset({"isv.MOBILE_NUMBER_ILLEGAL"})
_BUSY_CODES: Final = ("Throttling", "ServiceUnavailable", "isv.BUSINESS_LIMIT_CONTROL")
_OPERATOR_CODES: Final = (
    "isv.AMOUNT_NOT_ENOUGH", "isv.OUT_OF_SERVICE", "isv.ACCOUNT_ABNORMAL",
    "isp.RAM_PERMISSION_DENY", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidTimeStamp",
    "Forbidden",
)  # fmt: skip
"""Beginnings of codes that the operator mends while commands wait."""
_BROKEN_CODES: Final = ("isp.SYSTEM_ERROR", "InternalError")


def signed_headers(
    *,
    method: str,
    host: str,
    path: str,
    query: str,
    action: str,
    version: str,
    at: str,
    nonce: str,
    key_id: str,
    secret: str,
) -> dict[str, str]:
    """Headers of a request without a body; `query` is in canonical form, `at` in ISO 8601.

    Source: Alibaba Cloud, request syntax and signature method V3.
    """
    hashed = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": hashed,
        "x-acs-date": at,
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    names = ";".join(sorted(headers))
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{hashed}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(
        secret.encode(), f"{_ALGORITHM}\n{digest}".encode(), hashlib.sha256
    ).hexdigest()
    credential = f"Credential={key_id},SignedHeaders={names},Signature={signature}"
    return {**headers, "authorization": f"{_ALGORITHM} {credential}"}


def canonical_query(parameters: Mapping[str, str]) -> str:
    """Parameters by name, each percent-encoded (RFC 3986)."""
    return "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in sorted(parameters.items())
    )


class AliyunChannel:
    """The provider sends only templates that it has approved: `subject` is the template's code
    and `body` a JSON object of its parameters.

    Not idempotent: `OutId` comes back in reports, but does not keep a repeat from being sent.
    """

    idempotent: Final = False

    def __init__(
        self,
        provider: AliyunSms,
        *,
        outgoing: Outgoing,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = URL(str(provider.url), encoded=True)
        self._key_id = provider.key_id
        self._secret = provider.read("secret")
        self._sign_name = provider.sign_name
        self._outgoing = outgoing
        self._now = now

    async def send(self, message: Message) -> Outcome:
        """By the `Code` of the answer, whatever its status."""
        refusal = bad_number(message) or _bad_template(message)
        if refusal is not None:
            return refusal
        number = message.to or ""
        query = canonical_query(
            {
                # Numbers of the mainland go without their country, others without the plus.
                "PhoneNumbers": number.removeprefix("+86").removeprefix("+"),
                "SignName": self._sign_name,
                "TemplateCode": message.subject,
                "TemplateParam": message.body,
                "OutId": message.send_id,
            }
        )
        headers = signed_headers(
            method="POST",
            host=self._url.authority,
            path="/",
            query=query,
            action="SendSms",
            version=_VERSION,
            at=self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            nonce=secrets.token_hex(16),
            key_id=self._key_id,
            secret=self._secret,
        )
        url = URL(f"{self._url.origin()}/?{query}", encoded=True)
        reply = await self._outgoing.request("POST", url, headers=headers)
        return reply if not isinstance(reply, Reply) else _outcome(reply)

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()


def _bad_template(message: Message) -> Refused | None:
    if not message.subject:
        return Refused(reason="no template code in the subject")
    try:
        parameters: Any = msgspec.json.decode(message.body or "{}")
    except msgspec.DecodeError:
        parameters = None
    if not isinstance(parameters, dict):
        return Refused(reason="the body is no JSON object of template parameters")
    return None


def _outcome(reply: Reply) -> Outcome:
    answer = reply.json()
    code = answer.get("Code")
    if not isinstance(code, str):
        return reply.trouble(repeatable=False) or Unknown(reason="an answer without code")
    if code == "OK":
        biz_id = answer.get("BizId")
        return Accepted(provider_id=biz_id if isinstance(biz_id, str) else None)
    reason = f"code {code}"
    if code.startswith(_BUSY_CODES):
        return Delayed(reason=reason, retry_after_seconds=reply.retry_after_seconds)
    if code.startswith(_OPERATOR_CODES):
        return Delayed(reason=reason)
    if code.startswith(_BROKEN_CODES):
        return Unknown(reason=reason)
    return Refused(reason=reason, about_address=code in _ADDRESS_CODES)
