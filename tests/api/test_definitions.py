"""Creating, reading, listing, changing, publishing, pausing and archiving over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from services.contracts.errors import Transient
from services.triggers.definitions.decoding import DEFINITION_BYTES_MAX
from tests.api.conftest import client_of, make_api
from tests.definitions.support import make_definitions

TRIGGER: dict[str, Any] = {
    "id": "cart_left",
    "name": "Cart left",
    "entry": {"events": ["Cart Updated"]},
    "steps": [{"send": {"channel": "log", "content": {"body": "Still thinking?"}}}],
}
TAG = {"id": "orders", "aggregate": "count", "events": ["Order Completed"], "window": "30d"}
POLICY = {"id": "weekly", "limit": 5, "window": "week"}
NEEDING = TRIGGER | {
    "entry": {"events": ["Cart Updated"], "where": {"tag": "orders", "op": "gte", "value": 2}}
}
SEGMENT = {"id": "vip", "when": {"trait": "tier", "op": "eq", "value": "gold"}}
LIFECYCLE = {
    "id": "stage",
    "initial": "new",
    "states": ["new", "known"],
    "transitions": [{"to": "known", "when": {"trait": "email", "op": "exists"}}],
}
BODIES = {
    "triggers": TRIGGER,
    "tags": TAG,
    "policies": POLICY,
    "segments": SEGMENT,
    "lifecycles": LIFECYCLE,
}
ANY = {"If-Match": "*"}


async def create(client: httpx.AsyncClient, plural: str, publish: bool = True) -> httpx.Response:
    answer = await client.post(
        f"/v1/{plural}", json=BODIES[plural], params={"publish": str(publish).lower()}
    )
    assert answer.status_code == 201, answer.text
    return answer


async def revision(client: httpx.AsyncClient) -> int:
    return int((await client.get("/v1/revisions/current")).json()["revision"])


@pytest.mark.parametrize("plural", BODIES)
async def test_each_kind_goes_from_draft_to_live_to_archived(
    client: httpx.AsyncClient, plural: str
) -> None:
    made = await create(client, plural, publish=False)
    id_ = made.json()["id"]
    assert made.headers["location"] == f"/v1/{plural}/{id_}"
    assert (made.json()["status"], made.json()["published"]) == ("draft", None)
    assert await revision(client) == 1

    live = await client.post(f"/v1/{plural}/{id_}/publish")
    body = live.json()
    assert (body["status"], body["version"], body["revision"]) == ("live", 1, 2)
    assert body["draft"] is None
    assert body["published"]["id"] == id_

    changed = await client.patch(
        f"/v1/{plural}/{id_}", json={"name": "New"}, headers={"If-Match": live.headers["etag"]}
    )
    assert changed.status_code == 200
    assert changed.json()["draft"]["name"] == "New"
    assert changed.json()["published"].get("name") != "New"
    replaced = await client.put(
        f"/v1/{plural}/{id_}?publish=true",
        json=BODIES[plural] | {"name": "Newer"},
        headers={"If-Match": changed.headers["etag"]},
    )
    assert replaced.json()["published"]["name"] == "Newer"
    assert replaced.json()["version"] == 2

    gone = await client.delete(
        f"/v1/{plural}/{id_}", headers={"If-Match": replaced.headers["etag"]}
    )
    assert (gone.status_code, gone.json()["status"]) == (200, "archived")
    read = await client.get(f"/v1/{plural}/{id_}")
    assert read.json() == gone.json()
    assert read.headers["etag"] == gone.headers["etag"]
    assert await revision(client) == 4


async def test_a_trigger_is_paused_and_resumed_at_once(client: httpx.AsyncClient) -> None:
    await create(client, "triggers")
    paused = await client.post("/v1/triggers/cart_left/pause")
    assert (paused.json()["status"], paused.json()["published"]["status"]) == ("paused", "paused")
    assert paused.json()["version"] == 2
    resumed = await client.post("/v1/triggers/cart_left/resume")
    assert (resumed.json()["status"], resumed.json()["version"]) == ("live", 3)
    assert (await client.post("/v1/tags/cart_left/pause")).status_code == 404


async def test_changing_needs_the_etag_that_was_read(client: httpx.AsyncClient) -> None:
    etag = (await create(client, "triggers")).headers["etag"]
    address = "/v1/triggers/cart_left"
    for method in ("PUT", "PATCH", "DELETE"):
        missing = await client.request(method, address, json=TRIGGER)
        assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
    first = await client.put(address, json=TRIGGER, headers={"If-Match": etag})
    assert first.status_code == 200
    for stale in (etag, 'W/"1"', '"x"', "1", '"1", "2"', ""):
        for method in ("PUT", "PATCH", "DELETE"):
            refused = await client.request(
                method, address, json=TRIGGER, headers={"If-Match": stale}
            )
            assert refused.status_code == 412, (method, stale)
        for action in ("publish", "pause"):
            refused = await client.post(f"{address}/{action}", headers={"If-Match": stale})
            assert refused.status_code == 412, (action, stale)
    assert (await client.get(address)).headers["etag"] == first.headers["etag"]


async def test_of_many_editors_with_the_same_etag_one_wins(client: httpx.AsyncClient) -> None:
    etag = (await create(client, "triggers")).headers["etag"]
    answers = await asyncio.gather(
        *(
            client.patch(
                "/v1/triggers/cart_left", json={"name": f"n{number}"}, headers={"If-Match": etag}
            )
            for number in range(10)
        )
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 9


async def test_a_patch_removes_with_null_and_keeps_the_rest(client: httpx.AsyncClient) -> None:
    await create(client, "triggers")
    patch = {"name": None, "dedup": {"window": "2h"}, "entry": {"where": None}}
    changed = await client.patch("/v1/triggers/cart_left", json=patch, headers=ANY)
    draft = changed.json()["draft"]
    assert "name" not in draft
    assert draft["dedup"] == {"window": "2h"}
    assert draft["entry"] == {"events": ["Cart Updated"]}
    refused = await client.patch("/v1/triggers/cart_left", json={"entry": None}, headers=ANY)
    assert refused.json()["errors"] == [
        {"place": "triggers.cart_left.entry", "reason": "is required"}
    ]


async def test_patching_a_paused_trigger_and_publishing_leaves_it_paused(
    client: httpx.AsyncClient,
) -> None:
    await create(client, "triggers")
    await client.post("/v1/triggers/cart_left/pause")
    address = "/v1/triggers/cart_left?publish=true"
    changed = await client.patch(address, json={"name": "New"}, headers=ANY)
    assert changed.json()["status"] == "paused"


async def test_lists_are_pages_by_status(client: httpx.AsyncClient) -> None:
    for number in range(5):
        body = TRIGGER | {"id": f"t{number}", "name": f"Number {number}"}
        publish = "true" if number % 2 else "false"
        await client.post("/v1/triggers", json=body, params={"publish": publish})
    await client.delete("/v1/triggers/t4", headers=ANY)
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get("/v1/triggers", params={"limit": 3, "cursor": cursor})).json()
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert seen == ["t0", "t1", "t2", "t3"]
    for status, ids in (("draft", ["t0", "t2"]), ("live", ["t1", "t3"]), ("archived", ["t4"])):
        found = (await client.get("/v1/triggers", params={"status": status})).json()
        assert [one["id"] for one in found["items"]] == ids
    for wrong in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"status": "y"}, {"cursor": "/"}):
        refused = await client.get("/v1/triggers", params=wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


async def test_wrong_definitions_are_refused_with_place_and_reason(
    client: httpx.AsyncClient,
) -> None:
    unknown = await client.post("/v1/triggers", json=TRIGGER | {"colour": "red"})
    assert unknown.status_code == 422
    assert unknown.headers["content-type"] == "application/problem+json"
    said = unknown.json()
    assert said.pop("title")  # the standard library's phrase, which changed with 3.13
    assert said == {
        "type": "about:blank",
        "status": 422,
        "detail": "the definitions are not right",
        "code": "wrong_definition",
        "errors": [{"place": "triggers.cart_left.colour", "reason": "unknown field"}],
    }
    needing = await client.post("/v1/triggers?publish=true", json=NEEDING)
    assert needing.json()["errors"] == [
        {"place": "triggers.cart_left.entry.where.tag", "reason": "there is no tag orders"}
    ]
    assert (await client.get("/v1/triggers/cart_left")).status_code == 404


async def test_archiving_a_tag_in_use_is_refused_with_its_user(client: httpx.AsyncClient) -> None:
    await create(client, "tags")
    await client.post("/v1/triggers?publish=true", json=NEEDING)
    refused = await client.delete("/v1/tags/orders", headers=ANY)
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert refused.json()["errors"][0]["place"] == "triggers.cart_left.entry.where.tag"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"id": NaN}', b'{"a":"\\ud800"}', b"[" * 9999]
)
async def test_what_is_no_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    for method, path in (("POST", "/v1/tags"), ("POST", "/v1/apply"), ("PUT", "/v1/tags/x")):
        refused = await client.request(method, path, content=body, headers=ANY)
        assert (refused.status_code, refused.json()["code"]) == (400, "not_json")


async def test_a_body_beyond_the_bound_is_a_413(client: httpx.AsyncClient) -> None:
    body = b'"' + b"x" * DEFINITION_BYTES_MAX + b'"'
    assert (await client.post("/v1/triggers", content=body)).status_code == 413


@pytest.mark.parametrize("id_", ["Cart", "cart%00left", "a%0A", "..", "%F0%9F%98%80", "x" * 65])
async def test_an_address_that_is_no_id_is_refused(client: httpx.AsyncClient, id_: str) -> None:
    assert (await client.get(f"/v1/triggers/{id_}")).status_code in (404, 422)


async def test_what_exists_already_or_cannot_be_is_a_conflict(client: httpx.AsyncClient) -> None:
    await create(client, "triggers", publish=False)
    again = await client.post("/v1/triggers", json=TRIGGER)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await client.post("/v1/triggers/cart_left/pause")).status_code == 409
    assert (await client.post("/v1/triggers/other/pause")).status_code == 404


async def test_the_workspace_is_changed_and_published(client: httpx.AsyncClient) -> None:
    standing = await client.get("/v1/workspace")
    assert standing.json()["published"] == {"version": 1}
    etag = {"If-Match": standing.headers["etag"]}
    changed = await client.patch("/v1/workspace", json={"time_zone": "Asia/Shanghai"}, headers=etag)
    assert changed.json()["draft"]["time_zone"] == "Asia/Shanghai"
    published = await client.post("/v1/workspace/publish")
    assert published.json()["version"] == 2
    refused = await client.put("/v1/workspace", json={"id": "other"}, headers=ANY)
    assert refused.status_code == 422
    assert (await client.put("/v1/workspace", json={})).status_code == 428


async def test_applying_is_atomic_and_idempotent(client: httpx.AsyncClient) -> None:
    given = [{"kind": "trigger", **NEEDING}, {"kind": "tag", **TAG}]
    dry = await client.post("/v1/apply", json={"definitions": given, "dry_run": True})
    assert dry.json()["revision"] is None
    assert [one["action"] for one in dry.json()["changes"]] == ["create", "create"]
    done = await client.post("/v1/apply", json={"definitions": given})
    assert done.json()["revision"] == 2
    again = await client.post("/v1/apply", json={"definitions": given})
    assert again.json()["revision"] is None
    assert [one["action"] for one in again.json()["changes"]] == ["none", "none"]
    given[1]["window"] = "7d"
    changed = (await client.post("/v1/apply", json={"definitions": given})).json()
    assert changed["changes"][1]["before"]["window"] == "30d"
    assert changed["changes"][1]["after"]["window"] == "7d"


async def test_everything_wrong_in_what_is_applied_is_named_at_once(
    client: httpx.AsyncClient,
) -> None:
    given = [{"kind": "trigger"}, {"kind": "flag"}, 7, {"kind": "tag", **TAG, "k": 99}]
    refused = await client.post("/v1/apply", json={"definitions": given})
    assert refused.status_code == 422
    assert [one["place"] for one in refused.json()["errors"]] == [
        "triggers.?.id",
        "definitions[1].kind",
        "definitions[2]",
        "tags.orders.k",
    ]
    bodies: list[Any] = [{}, [], {"definitions": 1}, {"definitions": [], "dry_run": 1}, {"x": 1}]
    for body in bodies:
        assert (await client.post("/v1/apply", json=body)).status_code == 422
    too_many = await client.post("/v1/apply", json={"definitions": [None] * 501})
    assert too_many.status_code == 413


async def test_the_state_of_publishing_shows_what_waits_and_why() -> None:
    definitions = make_definitions()
    await definitions.bootstrap()
    app = make_api(definitions, relay_problem=lambda: "kafka: away")
    async with client_of(app) as client:
        state = (await client.get("/v1/revisions/current")).json()
    assert (state["revision"], state["pending"], state["relay_problem"]) == (1, 1, "kafka: away")


async def test_a_database_that_is_away_is_a_503_and_a_bug_a_500() -> None:
    class Away:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def reading(self) -> Any:
            raise self.error

        writing = reading

    away = make_definitions(Away(Transient("database: gone")))
    async with client_of(make_api(away)) as client:
        answer = await client.post("/v1/triggers", json=TRIGGER)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    broken = make_definitions(Away(ZeroDivisionError("secret detail")))
    async with client_of(make_api(broken), raise_app_exceptions=False) as client:
        answer = await client.post("/v1/triggers", json=TRIGGER)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
