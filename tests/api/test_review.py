"""Review, versions, roll back, roles, tokens and the audit log over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.triggers.definitions.actors import Role
from tests.api.conftest import TOKEN, World, client_of
from tests.api.test_definitions import TAG, TRIGGER
from tests.definitions.support import ROOT

ADDRESS = "/v1/triggers/cart_left"
ANY = {"If-Match": "*"}


class People:
    """Clients of people with tokens, by their names."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.clients: list[httpx.AsyncClient] = []

    async def __call__(self, name: str, role: Role) -> httpx.AsyncClient:
        """A client with a new token of this person."""
        _, secret = await self._world.tokens.make(
            by=ROOT, name=name, owner=name, person=True, role=role, days=1
        )
        self.clients.append(client_of(self._world.app, secret))
        return self.clients[-1]


@pytest.fixture
async def people(world: World) -> AsyncIterator[People]:
    """Makes clients of people."""
    made = People(world)
    yield made
    for one in made.clients:
        await one.aclose()


async def ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The answer's body."""
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


async def test_a_trigger_goes_from_draft_over_review_to_live(people: People) -> None:
    cim, ann = await people("cim", "operator"), await people("ann", "reviewer")
    await ok(await cim.post("/v1/triggers", json=TRIGGER), 201)
    refused = await cim.post(f"{ADDRESS}/publish")
    assert code(refused) == (403, "forbidden")
    waiting = await ok(await cim.post(f"{ADDRESS}/submit", json={"note": "for spring"}))
    assert waiting["status"] == "in_review"
    assert waiting["review"]["authors"] == ["cim"]
    assert waiting["review"]["submitted"]["note"] == "for spring"
    listed = await ok(await ann.get("/v1/reviews"))
    assert [(one["kind"], one["id"]) for one in listed["items"]] == [("trigger", "cart_left")]
    assert listed["next_cursor"] is None

    missing = await ann.post(f"{ADDRESS}/approve")
    assert code(missing) == (428, "precondition_required")
    read = await ann.get(ADDRESS)
    etag = {"If-Match": read.headers["etag"]}
    live = await ann.post(f"{ADDRESS}/approve", json={"note": "good"}, headers=etag)
    assert (await ok(live))["status"] == "live"
    assert live.json()["review"] is None
    again = await ann.post(f"{ADDRESS}/approve", headers=etag)
    assert again.status_code == 412
    assert (await ok(await ann.get("/v1/reviews")))["items"] == []


async def test_an_author_with_the_role_to_publish_cannot(people: People) -> None:
    ann, ben = await people("ann", "administrator"), await people("ben", "reviewer")
    refused = await ann.post("/v1/triggers?publish=true", json=TRIGGER)
    assert code(refused) == (403, "review_required")
    await ok(await ann.post("/v1/triggers", json=TRIGGER), 201)
    await ok(await ann.post(f"{ADDRESS}/submit"))
    own = await ann.post(f"{ADDRESS}/approve", headers=ANY)
    assert code(own) == (403, "own_change")
    applied = await ann.post("/v1/apply", json={"definitions": [{"kind": "tag", **TAG}]})
    assert code(applied) == (403, "review_required")
    await ok(await ben.post(f"{ADDRESS}/approve", headers=ANY))


async def test_a_draft_is_rejected_withdrawn_and_thrown_away(people: People) -> None:
    cim, ann = await people("cim", "operator"), await people("ann", "reviewer")
    await ok(await cim.post("/v1/triggers", json=TRIGGER), 201)
    await ok(await cim.post(f"{ADDRESS}/submit"))
    bodies: list[Any] = [{}, {"reason": ""}, {"reason": "no", "more": 1}, [], "no"]
    for body in bodies:
        refused = await ann.post(f"{ADDRESS}/reject", json=body)
        assert code(refused) == (422, "invalid_request")
        assert refused.json()["errors"][0]["place"].startswith("body")
    back = await ok(await ann.post(f"{ADDRESS}/reject", json={"reason": "too loud"}))
    assert back["status"] == "draft"
    assert back["review"]["rejected"]["reason"] == "too loud"
    await ok(await cim.post(f"{ADDRESS}/submit"))
    assert (await ok(await cim.post(f"{ADDRESS}/withdraw")))["status"] == "draft"
    assert (await cim.delete(f"{ADDRESS}/draft")).status_code == 428
    gone = await ok(await cim.delete(f"{ADDRESS}/draft", headers=ANY))
    assert (gone["status"], gone["draft"]) == ("archived", None)


async def test_what_is_applied_may_be_submitted_instead(people: People) -> None:
    cim = await people("cim", "operator")
    given = {"definitions": [{"kind": "tag", **TAG}], "submit": True}
    dry = await ok(await cim.post("/v1/apply", json=given | {"dry_run": True}))
    assert (await ok(await cim.get("/v1/reviews")))["items"] == []
    asked = await ok(await cim.post("/v1/apply", json=given))
    assert asked == dry
    assert asked["revision"] is None
    listed = await ok(await cim.get("/v1/reviews"))
    assert [one["id"] for one in listed["items"]] == [TAG["id"]]
    wrong = await cim.post("/v1/apply", json=given | {"submit": 1})
    assert wrong.json()["errors"] == [{"place": "submit", "reason": "must be true or false"}]


async def test_versions_are_listed_read_and_rolled_back_to(client: httpx.AsyncClient) -> None:
    await ok(await client.post("/v1/triggers?publish=true", json=TRIGGER), 201)
    for name in ("second", "third"):
        await client.patch(f"{ADDRESS}?publish=true", json={"name": name}, headers=ANY)
    page = await ok(await client.get(f"{ADDRESS}/versions?limit=2"))
    assert [one["version"] for one in page["items"]] == [3, 2]
    assert page["items"][0]["by"] == "settings"
    rest = await ok(await client.get(f"{ADDRESS}/versions?cursor={page['next_cursor']}"))
    assert [one["version"] for one in rest["items"]] == [1]
    assert rest["next_cursor"] is None
    first = await ok(await client.get(f"{ADDRESS}/versions/1"))
    assert first["definition"]["name"] == "Cart left"
    back = await ok(await client.post(f"{ADDRESS}/rollback", json={"version": 1}))
    assert (back["version"], back["published"]["name"]) == (4, "Cart left")
    assert await ok(await client.get(f"{ADDRESS}/versions/1")) == first
    for body in ({}, {"version": 0}, {"version": "1"}, {"version": 2**40}):
        assert code(await client.post(f"{ADDRESS}/rollback", json=body))[0] == 422
    assert code(await client.post(f"{ADDRESS}/rollback", json={"version": 9}))[0] == 404
    assert code(await client.get(f"{ADDRESS}/versions/9"))[0] == 404
    assert code(await client.get("/v1/triggers/other/versions"))[0] == 404


async def test_the_workspace_has_a_review_and_versions_too(
    client: httpx.AsyncClient, people: People
) -> None:
    ada, eva = await people("ada", "administrator"), await people("eva", "administrator")
    zone = {"time_zone": "Asia/Shanghai"}
    await ok(await ada.patch("/v1/workspace", json=zone, headers=ANY))
    await ok(await ada.post("/v1/workspace/submit"))
    assert code(await ada.post("/v1/workspace/approve", headers=ANY)) == (403, "own_change")
    await ok(await eva.post("/v1/workspace/approve", headers=ANY))
    versions = (await ok(await client.get("/v1/workspace/versions")))["items"]
    assert [(one["version"], one["by"]) for one in versions] == [(2, "eva"), (1, "system")]
    back = await ok(await client.post("/v1/workspace/rollback", json={"version": 1}))
    assert "time_zone" not in back["published"]


EDITS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/triggers", TRIGGER | {"id": "b", "name": "b"}),
    ("PUT", ADDRESS, TRIGGER),
    ("PATCH", ADDRESS, {"name": "New"}),
    ("DELETE", f"{ADDRESS}/draft", None),
    ("POST", f"{ADDRESS}/submit", None),
    ("POST", f"{ADDRESS}/withdraw", None),
    ("POST", f"{ADDRESS}/rollback", {"version": 1}),
    ("POST", "/v1/apply", {"definitions": []}),
]
PUBLISHES: list[tuple[str, str, Any]] = [
    ("POST", f"{ADDRESS}/publish", None),
    ("POST", f"{ADDRESS}/approve", None),
    ("POST", f"{ADDRESS}/reject", {"reason": "no"}),
    ("POST", f"{ADDRESS}/pause", None),
    ("POST", f"{ADDRESS}/resume", None),
    ("DELETE", ADDRESS, None),
]
ADMINISTERS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/policies", {"id": "w", "limit": 5, "window": "week"}),
    ("PATCH", "/v1/policies/marketing_daily", {"limit": 99}),
    ("DELETE", "/v1/policies/marketing_daily", None),
    ("POST", "/v1/policies/marketing_daily/publish", None),
    ("POST", "/v1/policies/marketing_daily/approve", None),
    ("PATCH", "/v1/workspace", {"consent": "opt_in"}),
    ("POST", "/v1/workspace/publish", None),
    ("GET", "/v1/tokens", None),
    ("POST", "/v1/tokens", {"name": "x", "owner": "x", "role": "administrator"}),
    ("DELETE", "/v1/tokens/tok_0000000000000000", None),
]
READS = [
    "/v1/triggers", ADDRESS, f"{ADDRESS}/versions", "/v1/workspace", "/v1/reviews", "/v1/audit",
    "/v1/revisions/current", "/v1/openapi.json",
]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("analyst", EDITS + PUBLISHES + ADMINISTERS),
        ("operator", PUBLISHES + ADMINISTERS),
        ("reviewer", ADMINISTERS),
        ("administrator", []),
    ],
)
async def test_a_role_reads_all_and_does_only_what_it_is_for(
    client: httpx.AsyncClient, people: People, role: Role, refused: list[tuple[str, str, Any]]
) -> None:
    await ok(await client.post("/v1/triggers?publish=true", json=TRIGGER), 201)
    somebody = await people("somebody", role)
    for path in READS:
        assert (await somebody.get(path)).status_code == 200, path
    for method, path, body in refused:
        answer = await somebody.request(method, path, json=body, headers=ANY)
        assert code(answer) == (403, "forbidden"), (method, path)
    allowed = [one for one in EDITS + PUBLISHES + ADMINISTERS if one not in refused]
    for method, path, body in allowed:
        answer = await somebody.request(method, path, json=body, headers=ANY)
        assert answer.status_code < 500
        # What the role may, the rule of two people may still refuse.
        assert answer.status_code != 403 or code(answer)[1] in ("review_required", "own_change")
    assert (await ok(await client.get("/v1/policies/marketing_daily")))["version"] == 1


async def test_a_token_is_shown_once_and_revoked_at_once(
    client: httpx.AsyncClient, world: World
) -> None:
    made = await client.post(
        "/v1/tokens",
        json={"name": "Ann's laptop", "owner": "ann", "role": "operator", "expires_in_days": 30},
    )
    body = await ok(made, 201)
    assert made.headers["cache-control"] == "no-store"
    assert body["token"]["person"] is True
    assert body["secret"].startswith(body["token"]["prefix"])
    async with client_of(world.app, body["secret"]) as ann:
        assert (await ann.get("/v1/triggers")).status_code == 200
        listed = await ok(await client.get("/v1/tokens"))
        (shown,) = listed["items"]
        assert shown["last_used_at"] is not None
        assert body["secret"] not in str(listed)
        revoked = await ok(await client.delete(f"/v1/tokens/{shown['id']}"))
        assert revoked["revoked_at"] is not None
        assert (await ann.get("/v1/triggers")).status_code == 401
    log = await client.get("/v1/audit", params={"kind": "token"})
    assert [one["action"] for one in log.json()["items"]] == ["token_revoked", "token_created"]
    assert body["secret"] not in log.text
    for wrong in ({"role": "king"}, {"expires_in_days": 0}, {"expires_in_days": 367}, {"name": ""}):
        asked = {"name": "x", "owner": "x", "role": "analyst"} | wrong
        answer = await client.post("/v1/tokens", json=asked)
        assert code(answer) == (422, "invalid_request")
        assert answer.json()["errors"][0]["place"] == f"body.{next(iter(wrong))}"


async def test_the_audit_log_is_read_in_pages_and_by_filters(client: httpx.AsyncClient) -> None:
    given = {"X-Request-Id": "spring-campaign"}
    made = await client.post("/v1/triggers?publish=true", json=TRIGGER, headers=given)
    assert made.headers["x-request-id"] == "spring-campaign"
    await client.post(f"{ADDRESS}/pause")
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = await ok(await client.get("/v1/audit", params=parameters))
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [one["action"] for one in seen] == [
        "paused",
        "published",
        "bootstrapped",
        "bootstrapped",
    ]
    published = seen[1]
    assert (published["actor_id"], published["actor_kind"]) == ("settings", "static")
    assert (published["before"], published["version"], published["revision"]) == (None, 1, 2)
    assert published["after"]["published"]["name"] == "Cart left"
    for filters, count in (
        ({"request_id": "spring-campaign"}, 1),
        ({"kind": "trigger", "id": "cart_left"}, 2),
        ({"action": "paused"}, 1),
        ({"actor": "nobody"}, 0),
        ({"since": seen[0]["at"]}, 4),
        ({"until": seen[0]["at"]}, 0),
    ):
        found = await ok(await client.get("/v1/audit", params=filters))
        assert len(found["items"]) == count, filters
    for wrong in ({"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"id": "\0"}):
        assert (await client.get("/v1/audit", params=wrong)).status_code == 422, wrong


async def test_a_request_id_that_is_none_is_made(client: httpx.AsyncClient) -> None:
    for given in ("", "x" * 101, "a b", "\x7f"):
        answer = await client.get("/v1/triggers", headers={"X-Request-Id": given})
        assert len(answer.headers["x-request-id"]) == 36


async def test_warnings_stand_beside_what_is_saved_read_and_submitted(
    client: httpx.AsyncClient,
) -> None:
    await ok(await client.post("/v1/triggers?publish=true", json=TRIGGER), 201)
    made = await ok(await client.post("/v1/triggers", json=TRIGGER | {"id": "b", "name": "b"}), 201)
    (warning,) = made["warnings"]
    assert warning["place"] == "triggers.b.audience"
    assert (await ok(await client.get("/v1/triggers/b")))["warnings"] == [warning]
    assert (await ok(await client.post("/v1/triggers/b/submit")))["warnings"] == [warning]
    taken = await client.post("/v1/triggers", json=TRIGGER | {"id": "c"})
    assert code(taken) == (409, "name_taken")
    assert taken.json()["errors"][0]["place"] == "triggers.c.name"


async def test_the_static_token_goes_on_as_an_administrator(client: httpx.AsyncClient) -> None:
    for path, body in (
        ("/v1/triggers?publish=true", TRIGGER),
        ("/v1/apply", {"definitions": [{"kind": "tag", **TAG}]}),
        ("/v1/tokens", {"name": "x", "owner": "x", "role": "analyst"}),
    ):
        assert (await client.post(path, json=body)).is_success
    assert TOKEN not in (await client.get("/v1/audit")).text
