"""Before publishing: what is wrong, what would be decided of one person, messages to oneself."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.triggers.engine import new_state
from tests.api.around import Surroundings
from tests.api.conftest import client_of
from tests.engine.build import NOON, log_of, policy, trigger

MAIL = {
    "channel": "mail",
    "content": {"subject": "Hi {{ person.name }}", "body": "{{ event.n }} of {{ tags.orders }}"},
}
DRAFT: dict[str, Any] = {
    "id": "thanks",
    "entry": {"events": ["order"], "where": {"property": "n", "op": "gte", "value": 2}},
    "audience": {"tag": "orders", "op": "gte", "value": 2},
    "steps": [{"send": MAIL}, {"wait": {"for": "1d"}}, {"send": {"channel": "log"}}],
}
TAG = {"id": "orders", "aggregate": "count", "events": ["order"]}


@pytest.fixture
async def client(scene: Surroundings) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(scene.app) as made:
        await made.post("/v1/tags", json=TAG)
        assert (await made.post("/v1/triggers", json=DRAFT)).status_code == 201
        yield made


def order(n: int, at: str = "2026-06-10T12:00:00Z", **fields: Any) -> dict[str, Any]:
    return {"event": "order", "timestamp": at, "properties": {"n": n}, **fields}


async def dry_run(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/triggers/thanks/dry-run", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_what_would_be_decided_and_sent_is_told_with_its_texts_filled_in(
    client: httpx.AsyncClient,
) -> None:
    profile = {
        "traits": {"name": "Ana", "email": "ana@example.com"},
        "history": [order(1, "2026-06-09T12:00:00Z")],
    }
    found = await dry_run(client, profile=profile, event=order(7))
    assert [(one["outcome"], one["step"]) for one in found["decisions"]] == [("sent", 0)]
    (mail,) = found["effects"]
    assert (mail["to"], mail["subject"], mail["body"]) == ("ana@example.com", "Hi Ana", "7 of 2")
    assert [(one["step"], one["due_at"]) for one in found["waiting"]] == [
        (1, "2026-06-11T12:00:00Z")
    ]
    assert found["tags"] == {"orders": 2}


async def test_each_clause_is_told_with_the_value_that_it_found(client: httpx.AsyncClient) -> None:
    found = await dry_run(client, event=order(7))
    assert [one["outcome"] for one in found["decisions"]] == ["audience"]
    assert found["decisions"][0]["details"]["actual"] == 1
    told = [one for one in found["clauses"]["findings"] if one["kind"] in ("entry", "audience")]
    clauses = [
        (one["name"], one["actual"], one["holds"]) for part in told for one in part["clauses"]
    ]
    assert clauses == [("n", 7, True), ("orders", 1, False)]


async def test_an_entry_that_does_not_match_decides_nothing_and_says_why(
    client: httpx.AsyncClient,
) -> None:
    found = await dry_run(client, event=order(1))
    assert (found["decisions"], found["effects"]) == ([], [])
    assert found["clauses"]["verdict"] == "entry_not_matched"


async def test_a_person_is_tried_as_the_workers_know_them_and_stays_so(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    log = log_of(trigger("other"))
    log.event("order", now=NOON)
    scene.people.states["ada"] = log.state
    before = log.state.now
    event = order(7, "2026-06-10T13:00:00Z", userId="somebody else")
    found = await dry_run(client, person="ada", event=event)
    assert found["person"] == "ada"
    # The tag is new to them: it counts from here on.
    assert found["tags"] == {"orders": 1}
    assert (log.state.now, log.state.tags) == (before, {})


async def test_what_is_sensitive_of_a_real_person_is_masked_wherever_it_is_told(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    phone, email = "+8613812345678", "ada@example.com"
    log = log_of(trigger("other"))
    log.identify({"name": "Ada", "email": email, "phone": phone}, now=NOON)
    scene.people.states["ada"] = log.state
    content = {"subject": "{{ person.phone }}", "body": "b"}
    tag = {"id": "reached_at", "derive": {"trait": "phone"}}
    assert (await client.post("/v1/tags?publish=true", json=tag)).is_success
    changed = {
        **DRAFT,
        "entry": {"events": ["order"]},
        "audience": {
            "all": [
                {"trait": "phone", "op": "starts_with", "value": "+86"},
                {"tag": "reached_at", "op": "exists"},
            ]
        },
        "steps": [{"send": {"channel": "mail", "content": content}}],
    }
    await client.put("/v1/triggers/thanks", json=changed, headers={"If-Match": "*"})
    body = {"person": "ada", "event": order(7, "2026-06-10T13:00:00Z")}
    answer = await client.post("/v1/triggers/thanks/dry-run", json=body)
    assert phone not in answer.text
    assert email not in answer.text
    found = answer.json()
    assert [one["outcome"] for one in found["decisions"]] == ["sent"], "conditions see all of it"
    assert (found["effects"][0]["to"], found["effects"][0]["subject"]) == (
        "a***@example.com", "***5678",
    )  # fmt: skip
    assert found["traits"]["name"] == "Ada"
    (told,) = [one for one in found["clauses"]["findings"] if one["kind"] == "audience"]
    assert told["clauses"][0]["actual"] == "***5678"


async def test_time_alone_can_be_tried(client: httpx.AsyncClient) -> None:
    found = await dry_run(client, at="2026-06-10T12:00:00Z")
    assert (found["at"], found["decisions"]) == ("2026-06-10T12:00:00Z", [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"event": {"type": "track"}}, 422),
        ({"event": {"event": "order", "timestamp": "never"}}, 422),
        ({"event": {"event": "order", "timestamp": "1950-01-01T00:00:00Z"}}, 422),
        ({"at": "soon"}, 422),
        ({"event": {"event": "order"}, "person": "ada", "profile": {}}, 422),
        ({"event": {"event": "order"}, "person": "nobody"}, 404),
        ({"event": {"event": "order"}, "profile": {"history": [{"event": 1}]}}, 422),
        ({"event": {"event": "order"}, "profile": {"traits": {"x": 1e308}}}, 200),
    ],
)
async def test_what_cannot_be_tried_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], status: int
) -> None:
    answer = await client.post("/v1/triggers/thanks/dry-run", json=body)
    assert answer.status_code == status, answer.text


async def test_there_has_to_be_such_a_trigger(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/triggers/no/dry-run", json={"event": order(1)})
    assert answer.status_code == 404


async def test_validation_tells_problems_and_warnings_and_keeps_nothing(
    client: httpx.AsyncClient,
) -> None:
    steps = [{"wait": {"for": "1h"}}] * 5 + [{"send": {"channel": "log"}}]
    long = {"kind": "trigger", **DRAFT, "id": "long", "steps": steps}
    answer = (await client.post("/v1/validate", json={"definitions": [long]})).json()
    assert answer["valid"] is False
    assert [one["place"] for one in answer["problems"]] == ["triggers.long.audience.tag"]
    answer = (
        await client.post("/v1/validate", json={"definitions": [long, {"kind": "tag", **TAG}]})
    ).json()
    assert (answer["valid"], answer["problems"]) == (True, [])
    assert any("hard to follow" in one["reason"] for one in answer["warnings"])
    assert (await client.get("/v1/triggers/long")).status_code == 404


async def test_validation_names_every_definition_that_does_not_fit_its_schema(
    client: httpx.AsyncClient,
) -> None:
    body = {"definitions": [{"kind": "tag"}, {"kind": "pigeon"}, {"kind": "policy"}]}
    answer = (await client.post("/v1/validate", json=body)).json()
    assert (answer["valid"], len(answer["problems"])) == (False, 3)
    twice = {"definitions": [{"kind": "tag", **TAG}] * 2}
    answer = (await client.post("/v1/validate", json=twice)).json()
    assert [one["reason"] for one in answer["problems"]] == ["given twice"]


async def test_a_test_goes_to_test_people_only(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    path = "/v1/triggers/thanks/test-send"
    body = {"people": ["ana", "bo"], "event": order(3)}
    refused = await client.post(path, json=body)
    assert refused.status_code == 422
    assert [one["place"] for one in refused.json()["errors"]] == [
        "body.people[0]", "body.people[1]",
    ]  # fmt: skip
    assert scene.commands.sent == []


async def test_a_test_asks_for_every_message_under_ids_that_never_come_again(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    workspace = {"id": "default", "test_people": ["ana"]}
    await client.put("/v1/workspace?publish=true", json=workspace, headers={"If-Match": "*"})
    scene.people.states["ana"] = new_state("ana")
    scene.people.states["ana"].traits = {"name": "Ana", "email": "ana@example.com"}
    ids: set[str] = set()
    for _ in range(2):
        body = {"people": ["ana", "ana"], "event": order(3)}
        answer = await client.post("/v1/triggers/thanks/test-send", json=body)
        assert answer.status_code == 202, answer.text
        ids |= {one["send_id"] for one in answer.json()["sends"]}
    assert len(ids) == 4
    mail = scene.commands.sent[0]
    assert (mail.test, mail.channel, mail.to) == (True, "mail", "ana@example.com")
    assert mail.variables["event"] == {"n": 3}
    assert [one.step for one in scene.commands.sent] == [0, 2, 0, 2]


async def test_no_cap_counts_a_test_whatever_comes_back_of_it(
    client: httpx.AsyncClient, scene: Surroundings
) -> None:
    await test_a_test_asks_for_every_message_under_ids_that_never_come_again(client, scene)
    log = log_of(trigger("t"), policy(limit=1))
    for command in scene.commands.sent:
        log.delivery(command.send_id, "accepted", now=NOON)
    assert [one.outcome.value for one in log.event(now=NOON + 1)] == ["sent"]
    assert log.state.sending is not None
    assert (log.state.sending.accepted, len(log.state.sending.sends)) == (0, 1)
