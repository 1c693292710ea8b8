"""`Idempotency-Key` on POST: what is repeated under its key is done once and answered alike.

The key is claimed before the work and the answer kept after it. Where a process dies between
the two, nobody can say whether the work was done: the key then stays taken, and whoever
repeats is told so. Better asked to look than done twice.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.contracts.time import MINUTE, Micros
from services.runtime.problems import problem
from services.triggers.definitions.actors import Actor
from services.triggers.definitions.answers import (
    ANSWER_BYTES_MAX,
    KEY_CHARS_MAX,
    Answer,
    Answers,
    Claim,
)

KEY_HEADER: Final = "idempotency-key"
REPLAYED_HEADER: Final = "idempotency-replayed"
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
WAIT_SECONDS_MAX: Final = 5.0
"""How long a repetition waits for the first one to be answered."""
WAIT_STEP_SECONDS: Final = 0.05
UNDER_WAY_MAX: Final[Micros] = MINUTE
"""A claim older than this without an answer belongs to a process that died."""

_KEY: Final = re.compile(f"[\\x21-\\x7e]{{1,{KEY_CHARS_MAX}}}")
_NOT_DONE: Final = frozenset({408, 413, 429, 502, 503, 504})
"""With these nothing was done, and the same request may succeed later."""
_HEADERS_KEPT: Final = ("content-type", "etag", "location", "retry-after")


class Idempotency:
    """Stands behind the guard. `now` gives microseconds."""

    def __init__(self, app: ASGIApp, answers: Answers, now: Callable[[], Micros]) -> None:
        self._app = app
        self._answers = answers
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or pass the request on and keep its answer."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        key = headers.get(KEY_HEADER)
        if key is None or scope["method"] != "POST" or "actor" not in scope.get("state", {}):
            await self._app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            errors = [(KEY_HEADER, f"1 to {KEY_CHARS_MAX} visible ASCII characters")]
            refusal = problem(422, "the key is not valid", code="invalid_request", errors=errors)
            await refusal(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            refusal = problem(413, "the body is too large", code="request_entity_too_large")
            await refusal(scope, receive, send)
            return
        actor: Actor = scope["state"]["actor"]
        # Two programs may share an owner; two credentials never share keys.
        owner = f"{actor.kind}:{actor.credential or actor.id}"
        hash_ = _hash(scope, body)
        claim = await self._claimed(owner, key, hash_)
        if claim.mine:
            await self._do(scope, body, send, owner, key)
        else:
            await _standing(claim, hash_, self._now())(scope, receive, send)

    async def _claimed(self, owner: str, key: str, hash_: bytes) -> Claim:
        """The claim once it is answered, ours, or not to be waited for any longer."""
        claim = await self._answers.claim(owner, key, hash_, self._now())
        waited = 0.0
        while (
            not claim.mine
            and claim.answer is None
            and claim.hash == hash_
            and waited < WAIT_SECONDS_MAX
            and self._now() - claim.claimed_at < UNDER_WAY_MAX
        ):
            await asyncio.sleep(WAIT_STEP_SECONDS)
            waited += WAIT_STEP_SECONDS
            claim = await self._answers.claim(owner, key, hash_, self._now())
        return claim

    async def _do(self, scope: Scope, body: bytes, send: Send, owner: str, key: str) -> None:
        caught = _Caught()
        try:
            await self._app(scope, _again(body), caught)
            # An exception may have come after the work was done: then the claim stays as it is.
            if caught.status in _NOT_DONE:
                await self._answers.forget(owner, key)
            else:
                await self._answers.keep(owner, key, caught.answer())
        finally:
            for message in caught.messages:
                await send(message)


class _Caught:
    """Takes an answer down."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    def answer(self) -> Answer:
        headers = Headers(raw=self.messages[0]["headers"])
        body = b"".join(one.get("body", b"") for one in self.messages[1:])
        secret = "no-store" in headers.get("cache-control", "")
        return Answer(
            status=self.status,
            headers={name: headers[name] for name in _HEADERS_KEPT if name in headers},
            body=None if secret or len(body) > ANSWER_BYTES_MAX else body,
        )


def _standing(claim: Claim, hash_: bytes, now: Micros) -> Response:
    """What a request gets whose key is taken."""
    if claim.hash != hash_:
        errors = [(KEY_HEADER, "was used for another request")]
        return problem(422, "the key was used", code="idempotency_key_reused", errors=errors)
    if claim.answer is None:
        if now - claim.claimed_at >= UNDER_WAY_MAX:
            told = "whether the first one was done is not known: look, then take a new key"
            return problem(409, told, code="idempotency_unknown")
        told = "the first one with this key is still under way"
        return problem(409, told, code="idempotency_under_way", headers={"Retry-After": "1"})
    if claim.answer.body is None:
        told = f"done before, with status {claim.answer.status}; its answer is not kept"
        return problem(409, told, code="idempotency_answer_gone")
    headers = {**claim.answer.headers, REPLAYED_HEADER: "true"}
    return Response(claim.answer.body, claim.answer.status, headers)


def _hash(scope: Scope, body: bytes) -> bytes:
    if_match = Headers(scope=scope).get("if-match", "")
    parts = (scope["path"].encode(), scope["query_string"], if_match.encode(), body)
    return hashlib.sha256(b"\0".join(hashlib.sha256(one).digest() for one in parts)).digest()


async def _whole(receive: Receive) -> bytes | None:
    """The body, None where it is longer than any of ours may be."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _again(body: bytes) -> Receive:
    """Gives the body once more, then says that the client went."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive
