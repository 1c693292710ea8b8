"""Two people at terminals: one writes and submits, the other approves, goes back and stops."""

import json
from typing import Any

import httpx
import pytest

from services.client import Client
from tests.api.conftest import TOKEN
from tests.api.whole import make_whole
from tests.cli.shell import Shell

TRIGGER: dict[str, Any] = {
    "id": "cart_left",
    "entry": {"events": ["Cart Updated"]},
    "steps": [{"send": {"channel": "log"}}],
}


def token_of(shell: Shell, owner: str, role: str) -> dict[str, str]:
    """The environment of somebody new."""
    made = ("tokens", "create", f"for {owner}", "--role", role, "--owner", owner)
    code, said = shell(*made)
    assert code == 0, said
    (secret,) = [line for line in said.splitlines() if line.startswith("cue_")]
    return {"CUESTREAM_API_TOKENS": secret}


def write_draft(api_url: str, who: dict[str, str], **changes: Any) -> None:
    """Somebody writes a draft."""
    headers = {"authorization": f"Bearer {who['CUESTREAM_API_TOKENS']}", "if-match": "*"}
    body = {**TRIGGER, **changes}
    answer = httpx.put(f"{api_url}/v1/triggers/cart_left", json=body, headers=headers)
    if answer.status_code == 404:
        answer = httpx.post(f"{api_url}/v1/triggers", json=body, headers=headers)
    assert answer.is_success, answer.text


@pytest.mark.embedded
def test_one_writes_and_submits_another_approves_and_rolls_back(shell: Shell, api_url: str) -> None:
    ann, rob = token_of(shell, "ann", "operator"), token_of(shell, "rob", "reviewer")
    write_draft(api_url, ann)
    assert shell("triggers", "publish", "cart_left", **ann)[0] == 5
    code, said = shell("triggers", "submit", "cart_left", "--note", "please", **ann)
    assert (code, said.startswith("trigger cart_left: in_review")) == (0, True), said
    assert shell("triggers", "reject", "cart_left", "--reason", "why?", **rob)[0] == 0
    assert shell("triggers", "submit", "cart_left", **ann)[0] == 0
    code, said = shell("triggers", "approve", "cart_left", "--yes", **rob)
    assert code == 0, said
    assert "+  - Cart Updated" in said
    assert "trigger cart_left: live, version 1" in said
    write_draft(api_url, ann, priority=90)
    assert shell("triggers", "submit", "cart_left", **ann)[0] == 0
    assert shell("triggers", "approve", "cart_left", "--yes", **ann)[0] == 5
    assert shell("triggers", "approve", "cart_left", "--yes", **rob)[0] == 0
    code, said = shell("triggers", "rollback", "cart_left", "1", **rob)
    assert (code, "version 2" in said, "a draft is in review" in said) == (0, True, True), said
    assert shell("triggers", "approve", "cart_left", "--yes", **rob)[0] == 5
    assert shell("triggers", "withdraw", "cart_left", **rob)[0] == 0
    write_draft(api_url, rob, priority=90)
    code, said = shell("triggers", "rollback", "cart_left", "1")
    assert (code, "version 3" in said) == (0, True), said
    code, said = shell("triggers", "versions", "cart_left", "--json", **ann)
    assert [one["version"] for one in json.loads(said)] == [3, 2, 1]
    code, said = shell("audit", "--kind", "trigger", "--id", "cart_left", "--json")
    did = [one["action"] for one in json.loads(said)]
    assert did[0] == "rolled_back"
    assert did[-1] == "created"
    assert "approved" in did


@pytest.mark.embedded
def test_a_revoked_token_lets_nobody_in(shell: Shell) -> None:
    ann = token_of(shell, "ann", "analyst")
    assert shell("triggers", "list", **ann)[0] == 0
    assert shell("tokens", "list", **ann)[0] == 5
    _, said = shell("tokens", "list", "--json")
    (token,) = json.loads(said)
    assert ann["CUESTREAM_API_TOKENS"] not in said
    assert shell("tokens", "revoke", token["id"])[0] == 0
    assert shell("triggers", "list", **ann)[0] == 5


@pytest.mark.embedded
def test_everything_or_a_channel_is_stopped_and_goes_on(shell: Shell) -> None:
    assert shell("stop", "--channel", "mail") == (0, "mail is stopped\n")
    assert shell("stop", "--note", "a mistake") == (
        0,
        "everything is stopped\nmail is stopped\n",
    )
    assert shell("resume")[0] == 0
    assert shell("resume", "--channel", "mail") == (0, "nothing is stopped\n")
    assert shell("stops") == (0, "nothing is stopped\n")
    assert shell("stop", "--channel", "pigeon")[0] == 3


async def test_the_client_reads_what_the_api_answers() -> None:
    transport = httpx.ASGITransport(app=await make_whole())
    async with Client("http://api", TOKEN, transport=transport) as api:
        made = await api.create_trigger(TRIGGER, publish=True)
        assert made.body.published is not None
        assert made.body.published.entry.events == ("Cart Updated",)
        again = await api.replace_trigger("cart_left", made.body.published, if_match=made.etag)
        assert again.body.draft is not None
        assert again.body.draft.steps == made.body.published.steps
