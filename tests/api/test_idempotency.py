"""A POST repeated under its idempotency key is done once and answered alike."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from services.contracts.time import MINUTE, Micros
from services.runtime.problems import problem
from services.triggers.api.guard import Guard
from services.triggers.api.idempotency import Idempotency
from services.triggers.definitions.actors import STATIC, Actor
from services.triggers.definitions.answers import ANSWER_BYTES_MAX, ANSWERS_KEPT
from services.triggers.definitions.memory_access import MemoryAnswers
from tests.api.conftest import World, client_of
from tests.api.test_definitions import TRIGGER
from tests.definitions.support import ROOT, START, until

KEY = {"Idempotency-Key": "a-key"}


class Desk:
    """Counts what it is asked to do, and does it as it is told."""

    def __init__(self) -> None:
        self.now: Micros = START
        self.done = 0
        self.waiting: asyncio.Event | None = None
        self.answer: Response | None = None
        self.answers = MemoryAnswers()
        self.app: ASGIApp = Guard(
            Idempotency(self._work, self.answers, lambda: self.now), self._actor
        )

    async def _actor(self, token: str) -> Actor | None:
        return Actor(id=token, name=token, role="operator", kind="token", credential=token)

    async def _work(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        body = await Request(scope, receive).body()
        self.done += 1
        number = self.done
        if self.waiting is not None:
            await self.waiting.wait()
        answer = self.answer or JSONResponse(
            {"number": number, "body": body.decode()}, 201, {"ETag": '"7"', "Location": "/x"}
        )
        await answer(scope, receive, send)
        if answer.status_code == 500:
            raise ZeroDivisionError


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def ann(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk.app, "ann", raise_app_exceptions=False) as made:
        yield made


async def test_a_repetition_gets_the_first_answer(desk: Desk, ann: httpx.AsyncClient) -> None:
    first = await ann.post("/v1/x", content="a", headers=KEY)
    again = await ann.post("/v1/x", content="a", headers=KEY)
    assert desk.done == 1
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("etag", "location", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    desk.now += ANSWERS_KEPT
    assert (await ann.post("/v1/x", content="a", headers=KEY)).json()["number"] == 2


async def test_another_request_under_the_same_key_is_refused(
    desk: Desk, ann: httpx.AsyncClient
) -> None:
    await ann.post("/v1/x", content="a", headers=KEY)
    for path, body, more in (
        ("/v1/x", "b", {}),
        ("/v1/y", "a", {}),
        ("/v1/x?dry=1", "a", {}),
        ("/v1/x", "a", {"If-Match": '"2"'}),
    ):
        refused = await ann.post(path, content=body, headers=KEY | more)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
        assert refused.json()["errors"][0]["place"] == "idempotency-key"
    assert desk.done == 1


async def test_without_a_key_and_of_others_everything_is_done(
    desk: Desk, ann: httpx.AsyncClient
) -> None:
    await ann.post("/v1/x", headers=KEY)
    await ann.post("/v1/x")
    await ann.get("/v1/x", headers=KEY)
    await ann.post("/v1/x", headers={"Idempotency-Key": "another"})
    async with client_of(desk.app, "ben") as ben:
        await ben.post("/v1/x", headers=KEY)
    assert desk.done == 5


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b", "\x7f"])
async def test_a_key_that_is_none_is_refused(desk: Desk, ann: httpx.AsyncClient, key: str) -> None:
    refused = await ann.post("/v1/x", headers={"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert desk.done == 0


async def test_one_that_comes_meanwhile_waits_for_the_answer(
    desk: Desk, ann: httpx.AsyncClient
) -> None:
    desk.waiting = asyncio.Event()
    posts = [asyncio.create_task(ann.post("/v1/x", headers=KEY)) for _ in range(5)]
    await until(lambda: desk.done, "the first one to begin")
    desk.waiting.set()
    answers = await asyncio.gather(*posts)
    assert desk.done == 1
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 4


async def test_one_that_waited_long_enough_is_told_to_come_again(
    desk: Desk, ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.triggers.api.idempotency.WAIT_SECONDS_MAX", 0.1)
    desk.waiting = asyncio.Event()
    first = asyncio.create_task(ann.post("/v1/x", headers=KEY))
    await until(lambda: desk.done, "the first one to begin")
    refused = await ann.post("/v1/x", headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_under_way")
    assert refused.headers["retry-after"] == "1"
    desk.now += MINUTE
    refused = await ann.post("/v1/x", headers=KEY)
    # Nobody answers it any more: it may have been done, or not.
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_unknown")
    desk.waiting.set()
    await first
    assert desk.done == 1


async def test_refusals_are_kept_and_what_was_not_done_may_be_tried_again(
    desk: Desk, ann: httpx.AsyncClient
) -> None:
    desk.answer = problem(503, "try again", code="unavailable")
    await ann.post("/v1/x", headers=KEY)
    desk.answer = problem(409, "it exists", code="conflict")
    assert (await ann.post("/v1/x", headers=KEY)).status_code == 409
    desk.answer = None
    assert (await ann.post("/v1/x", headers=KEY)).json()["code"] == "conflict"
    assert desk.done == 2


async def test_after_an_error_of_ours_it_is_not_done_again(
    desk: Desk, ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.triggers.api.idempotency.WAIT_SECONDS_MAX", 0.0)
    desk.answer = problem(500, "an error of ours", code="ZeroDivisionError")
    assert (await ann.post("/v1/x", headers=KEY)).status_code == 500
    desk.answer = None
    assert (await ann.post("/v1/x", headers=KEY)).json()["code"] == "idempotency_under_way"
    desk.now += MINUTE
    assert (await ann.post("/v1/x", headers=KEY)).json()["code"] == "idempotency_unknown"
    assert desk.done == 1


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"secret": "s3cret"}, 201, {"Cache-Control": "no-store"}),
        Response(b"x" * (ANSWER_BYTES_MAX + 1), 201),
    ],
)
async def test_a_secret_or_huge_answer_is_not_kept_and_not_given_twice(
    desk: Desk, ann: httpx.AsyncClient, answer: Response
) -> None:
    desk.answer = answer
    assert (await ann.post("/v1/x", headers=KEY)).status_code == 201
    again = await ann.post("/v1/x", headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_gone")
    assert "s3cret" not in str(vars(desk.answers))
    assert desk.done == 1


async def test_a_body_beyond_every_bound_is_refused_before_it_is_claimed(
    desk: Desk, ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.triggers.api.idempotency.BODY_BYTES_MAX", 10)
    assert (await ann.post("/v1/x", content="x" * 11, headers=KEY)).status_code == 413
    assert (await ann.post("/v1/x", content="x" * 10, headers=KEY)).status_code == 201


async def test_through_the_whole_application_a_repeated_creation_is_one(
    client: httpx.AsyncClient,
) -> None:
    posts = [client.post("/v1/triggers?publish=true", json=TRIGGER, headers=KEY) for _ in range(6)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.headers["etag"] for answer in answers} == {'"1"'}
    assert (await client.get("/v1/revisions/current")).json()["revision"] == 2
    asked = {"name": "x", "owner": "x", "role": "analyst"}
    twice = [await client.post("/v1/tokens", json=asked, headers=KEY | {}) for _ in range(2)]
    assert [one.status_code for one in twice] == [422, 422]


async def test_nobody_reads_an_answer_without_a_credential(
    client: httpx.AsyncClient, world: World
) -> None:
    await client.post("/v1/triggers", json=TRIGGER, headers=KEY)
    async with client_of(world.app, "wrong") as other:
        assert (await other.post("/v1/triggers", json=TRIGGER, headers=KEY)).status_code == 401
    assert STATIC.id == "settings"
    _, secret = await world.tokens.make(
        by=ROOT, name="x", owner="settings", person=True, role="analyst", days=1
    )
    async with client_of(world.app, secret) as other:
        # Even one whose owner is called like the static token has keys of its own.
        assert (await other.post("/v1/triggers", json=TRIGGER, headers=KEY)).status_code == 403
