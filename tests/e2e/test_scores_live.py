"""Orders over HTTP, scores and models out of PostgreSQL, and the stream that scores by them.

All parts run as processes. What people then have as tags is computed here again from their
orders alone, by the mathematics of the jobs, which is not what the stream scores with.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Self

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.cli.definitions import apply, example_files, read_definitions
from services.cli.drain import in_force, until
from services.cli.replay import ReplayError
from services.cli.stack import Stack, StackSettings
from services.contracts.models import BgNbd, GammaGamma
from services.contracts.time import DAY, HOUR, Micros, from_micros
from services.profile_store.analysis import bgnbd
from services.profile_store.analysis.grids import segment_of
from services.profile_store.analysis.rfm import Book, Payment, cuts_of, scored
from services.profile_store.jobs.process import run_job
from services.profile_store.jobs.results import JobName
from services.profile_store.jobs.settings import JobSettings
from services.runtime.database import make_engine
from services.runtime.settings import DatabaseSettings

PEOPLE = 640
PARTITIONS = 2
BATCH = 100
END: Micros = 20_600 * DAY + 12 * HOUR
MODEL = BgNbd(r=0.7, alpha=40.0, a=0.8, b=2.5)
VALUES = GammaGamma(p=6.0, q=4.0, v=150.0)


@dataclass(frozen=True)
class Order:
    """One order, with its worth in whole cents."""

    person: str
    at: Micros
    cents: int


def drawn() -> list[Order]:
    """Everybody's orders as the models have it, in the order of time."""
    random = Random(7)
    orders: list[Order] = []
    for number in range(PEOPLE):
        rate = random.gammavariate(MODEL.r, 1 / MODEL.alpha)
        leaves = random.betavariate(MODEL.a, MODEL.b)
        worth = random.gammavariate(VALUES.q, 1 / VALUES.v)
        at = END - random.randrange(30 * DAY, 300 * DAY)
        while at < END:
            cents = round(100 * random.gammavariate(VALUES.p, 1 / worth)) + 1
            orders.append(Order(f"p{number}", at, cents))
            if len(orders) > 1 and orders[-2].person == f"p{number}" and random.random() < leaves:
                break
            at += round(random.expovariate(rate) * DAY)
    return sorted(orders, key=lambda one: one.at)


def messages_of(orders: Sequence[Order]) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(orders):
        properties = {"revenue": one.cents / 100, "order_id": f"o{number}"}
        yield message(one.person, "Order Completed", one.at, f"order-{number}", properties)


def message(
    person: str, event: str, at: Micros, id_: str, properties: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": "track",
        "event": event,
        "userId": person,
        "messageId": id_,
        "timestamp": from_micros(at).isoformat(),
        "properties": properties,
    }


class World:
    """The stack, its data and its clients."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = httpx.AsyncClient(trust_env=False, timeout=30.0)
        self.bearer = {"authorization": f"Bearer {stack.api_token}"}
        self.settings = JobSettings(
            database_url=SecretStr(stack.database_url),
            profile_store_api_url=stack.api_url,
            profile_store_api_token=SecretStr(stack.api_token),
            clock="replay",
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        async with self.client:
            yield self

    async def put_in_force(self) -> None:
        definitions = read_definitions(example_files("tags"))
        applied = await apply(self.stack.api_url, self.stack.api_token, definitions)
        assert applied.revision is not None
        await self.wait_for(applied.revision)

    async def wait_for(self, revision: int) -> None:
        urls = self.stack.triggers_urls
        await until(lambda: in_force(self.client, urls, revision, PARTITIONS))

    async def send(self, messages: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(messages), BATCH):
            answer = await self.client.post(
                f"{self.stack.ingest_url}/v1/batch",
                json={"batch": messages[start : start + BATCH]},
                auth=(self.stack.write_key, ""),
            )
            if answer.status_code != 200:
                raise ReplayError(answer.text)

    async def everybody_stored_at(self, at: Micros) -> None:
        engine = make_engine(DatabaseSettings(database_url=SecretStr(self.stack.database_url)))
        query = text("SELECT count(*) FROM profile_store.profiles WHERE as_of >= :at")

        async def missing() -> str | None:
            async with engine.connect() as connection:
                found = (await connection.execute(query, {"at": at})).scalar_one()
            return None if found >= PEOPLE else f"{found} of {PEOPLE} profiles are stored"

        try:
            await until(missing)
        finally:
            await engine.dispose()

    async def run(self, job: JobName) -> dict[str, Any]:
        ended = await run_job(self.settings, job)
        assert ended.outcome == "published", ended.report
        await self.wait_for(ended.report["revision"])
        return ended.report

    async def runs(self) -> list[dict[str, Any]]:
        url = f"{self.stack.profile_store_url}/v1/jobs"
        answer = await self.client.get(url, headers=self.bearer)
        runs: list[dict[str, Any]] = answer.json()["runs"]
        return runs

    async def scheduled_jobs_ended(self) -> str | None:
        ended = [one["job"] for one in await self.runs() if one["outcome"] != "running"]
        return None if len(ended) == 2 else f"{ended} have ended"

    async def tags(self, person: str) -> dict[str, Any]:
        url = f"{self.stack.profile_store_url}/v1/profiles/{person}"
        answer = await self.client.get(url, headers=self.bearer)
        assert answer.status_code == 200, answer.text
        tags: dict[str, Any] = answer.json()["tags"]
        return tags


def visits(at: Micros) -> list[dict[str, Any]]:
    people = (f"p{number}" for number in range(PEOPLE))
    return [message(person, "Page Viewed", at, f"{at}-{person}", {}) for person in people]


def books(orders: Sequence[Order], at: Micros) -> Book:
    book = Book(at)
    for one in orders:
        book.add(Payment(customer=one.person, at=one.at, amount=Decimal(one.cents) / 100))
    return book


def check_rfm(tags: dict[str, dict[str, Any]], orders: Sequence[Order], later: Micros) -> None:
    """By the fifths of the instant at which the job ran, at the instant of the last visit."""
    cuts = cuts_of(books(orders, END).customers())
    today = books(orders, later).customers()
    simple = {one.rfm.customer: one for one in scored(today, cuts, "lte", segment_of("simple"))}
    eleven = {one.rfm.customer: one for one in scored(today, cuts, "lte", segment_of("eleven"))}
    assert len(simple) == PEOPLE
    for person, one in simple.items():
        mine = tags[person]
        assert (mine["rfm_recency"], mine["rfm_frequency"], mine["rfm_monetary"]) == (
            one.r, one.f, one.m,
        ), person  # fmt: skip
        assert mine["rfm_segment"] == one.segment
        assert mine["rfm_grid"] == eleven[person].segment
    assert {one.r for one in simple.values()} == {1, 2, 3, 4, 5}


def check_models(
    tags: dict[str, dict[str, Any]],
    orders: Sequence[Order],
    later: Micros,
    report: dict[str, Any],
) -> None:
    model = BgNbd(**report["tags"]["alive"]["parameters"])
    worth = GammaGamma(**report["tags"]["expected_order_value"]["parameters"])
    by_person: dict[str, list[Order]] = {}
    for one in orders:
        by_person.setdefault(one.person, []).append(one)
    for person, mine in by_person.items():
        x, age = len(mine) - 1, (later - mine[0].at) // DAY
        t_x = age - (later - mine[-1].at) // DAY
        left = 0.0
        if x:
            ratio = (model.alpha + age) / (model.alpha + t_x)
            left = model.a / (model.b + x - 1) * ratio ** (model.r + x)
        bought = bgnbd.while_alive(model, x, age, 90.0) / (1 + left)
        mean = round(sum(one.cents for one in mine) / len(mine) / 100, 6)
        value = worth.p * (worth.v + len(mine) * mean) / (worth.p * len(mine) + worth.q - 1)
        found = tags[person]
        assert found["alive"] == pytest.approx(1 / (1 + left), abs=2e-6), person
        assert found["expected_orders_90d"] == pytest.approx(bought, abs=2e-5), person
        assert found["expected_order_value"] == pytest.approx(value, abs=2e-5), person


@pytest.mark.embedded
@pytest.mark.xdist_group("stack")
@pytest.mark.timeout(240)
async def test_the_stream_scores_everybody_as_the_jobs_mathematics_does(tmp_path: Path) -> None:
    settings = StackSettings(
        data_dir=tmp_path / "data",
        partitions=PARTITIONS,
        free_ports=True,
        durable=False,
        clock="replay",
        # Of today, and so missed: made up for at once, when there is nothing to compute yet.
        environment={"CUESTREAM_PROFILE_STORE_JOBS_AT": "00:00"},
    )
    orders, later = drawn(), END + 3 * DAY
    async with Stack(settings) as stack, World(stack).opened() as world:
        await until(world.scheduled_jobs_ended)
        await world.put_in_force()
        await world.send(list(messages_of(orders)))
        await world.send(visits(END))
        await world.everybody_stored_at(END)
        cuts = await world.run("rfm")
        models = await world.run("models")
        await world.send(visits(later))
        await world.everybody_stored_at(later)
        tags = {f"p{number}": await world.tags(f"p{number}") for number in range(PEOPLE)}
        listed = await world.runs()
    assert cuts["people"] == models["people"] == PEOPLE
    assert models["tags"]["alive"]["figures"]["people"] == PEOPLE
    check_rfm(tags, orders, later)
    check_models(tags, orders, later, models)
    asked_for, scheduled = listed[:2], listed[2:]
    assert [one["job"] for one in listed] == ["models", "rfm", "models", "rfm"]
    assert {(one["outcome"], one["slot"]) for one in asked_for} == {("published", None)}
    assert all(one["slot"].endswith("T00:00:00.000000Z") for one in scheduled)
