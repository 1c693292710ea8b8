"""Push by Firebase Cloud Messaging, HTTP v1."""

import base64
import time
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from yarl import URL

from services.contracts.time import SECOND
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
from services.dispatcher.provider_settings import FcmPush

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
ASSERTION_SECONDS: Final = 3600
TTL_SECONDS_MAX: Final = 28 * 86_400
"""The longest for which the service keeps a message for a device that is away."""
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_GONE: Final = frozenset({"UNREGISTERED"})
"""Not what a wrong account answers for each token: SENDER_ID_MISMATCH, NOT_FOUND."""


class _Account(msgspec.Struct, frozen=True):
    """What is needed of a service account's key file."""

    project_id: str
    client_email: str
    private_key_id: str
    private_key: str
    token_uri: str


class FcmChannel:
    """The address is the registration token of an app on a device.

    Not idempotent, but a repeat replaces the first one on the device where that still shows.

    Raises:
        ValueError, OSError: when made: the service account's key cannot be used.
    """

    idempotent: Final = False

    def __init__(self, provider: FcmPush, *, outgoing: Outgoing) -> None:
        try:
            account = msgspec.json.decode(provider.read("account"), type=_Account)
            key = load_pem_private_key(account.private_key.encode(), password=None)
        except (msgspec.DecodeError, ValueError):
            # The text of the error might repeat the key.
            raise ValueError("not the JSON of a service account's key") from None
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("the service account's key is none of RSA")
        self._account = account
        self._key = key
        self._url = URL(str(provider.url)) / f"v1/projects/{account.project_id}/messages:send"
        self._outgoing = outgoing
        self._tokens = Tokens(self._fetch)

    async def send(self, message: Message) -> Outcome:
        """Accepted with the message's name; a device that is gone is an address refused."""
        if not message.to:
            return Refused(reason="no address")
        token = await self._tokens.get()
        if not isinstance(token, str):
            return token
        reply = await self._outgoing.request(
            "POST",
            self._url,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            body=msgspec.json.encode({"message": _message(message, message.to)}),
        )
        if not isinstance(reply, Reply):
            return reply
        if reply.status == 401:
            self._tokens.forget(token)
            return Delayed(reason="access token refused")
        return _outcome(reply)

    async def close(self) -> None:
        """Close the connections."""
        await self._outgoing.close()

    async def _fetch(self) -> Token | Outcome:
        """Trade a signed assertion for an access token (RFC 7523)."""
        form = {"grant_type": _GRANT, "assertion": self._assertion()}
        reply = await self._outgoing.request(
            "POST",
            URL(self._account.token_uri, encoded=True),
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        if not isinstance(reply, Reply):
            # Nothing has been sent yet, whatever became of the question for a token.
            return Delayed(reason="no access token") if isinstance(reply, Unknown) else reply
        answer = reply.json()
        value, seconds = answer.get("access_token"), answer.get("expires_in")
        if reply.status != 200 or not isinstance(value, str) or not isinstance(seconds, int):
            return Delayed(reason=f"no access token: status {reply.status}")
        return Token(value=value, seconds=seconds)

    def _assertion(self) -> str:
        now = int(time.time())
        header = {"alg": "RS256", "typ": "JWT", "kid": self._account.private_key_id}
        claims = {
            "iss": self._account.client_email,
            "scope": SCOPE,
            "aud": self._account.token_uri,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        signed = f"{_part(msgspec.json.encode(header))}.{_part(msgspec.json.encode(claims))}"
        signature = self._key.sign(signed.encode(), PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_part(signature)}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _message(message: Message, token: str) -> dict[str, Any]:
    android: dict[str, Any] = {"collapse_key": message.send_id}
    apns: dict[str, str] = {"apns-collapse-id": message.send_id}
    if message.expires_at is not None:
        seconds = message.expires_at // SECOND
        # From now on, not from the decision: it may have waited.
        ttl = min(max(0, seconds - int(time.time())), TTL_SECONDS_MAX)
        android["ttl"] = f"{ttl}s"
        apns["apns-expiration"] = str(seconds)
    return {
        "token": token,
        "notification": {"title": message.subject, "body": message.body},
        "data": {"send_id": message.send_id, "trigger": message.trigger},
        "android": android,
        "apns": {"headers": apns},
    }


def _outcome(reply: Reply) -> Outcome:
    trouble = reply.trouble(repeatable=False)
    answer = reply.json()
    if trouble is None:
        name = answer.get("name")
        return Accepted(provider_id=name if isinstance(name, str) else None)
    code = _code(answer)
    if isinstance(trouble, Refused) and code is not None:
        return Refused(reason=f"code {code}", about_address=code in _GONE)
    return trouble


def _code(answer: dict[str, Any]) -> str | None:
    error = answer.get("error")
    if not isinstance(error, dict):
        return None
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    status = error.get("status")
    return status if isinstance(status, str) else None
