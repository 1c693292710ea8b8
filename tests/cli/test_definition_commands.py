"""`cuestream triggers|tags|templates …` against the real API, each command a process of its own."""

import json
from pathlib import Path

import pytest
import yaml

from services.cli.definition_commands import PLURALS
from services.client import Client
from services.runtime.process import free_port
from tests.cli.shell import Shell

TRIGGER = """kind: trigger
id: cart_left
name: Cart left
entry: {events: [Cart Updated]}
steps: [{send: {channel: log, content: {body: "{{ event.cart }}"}}}]
"""
TEMPLATE = """kind: template
id: thanks
content: {subject: "Hi {{ first_name }}", body: "{{ order_id }}"}
variables:
  first_name: {trait: first_name, fallback: friend}
  order_id: {property: order_id}
"""


@pytest.mark.embedded
def test_a_trigger_is_applied_shown_paused_resumed_and_archived(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "cart.yaml"
    file.write_text(TRIGGER)
    code, said = shell("triggers", "apply", str(file))
    assert (code, "revision 2: 1 of 1 definitions changed" in said) == (0, True), said
    code, said = shell("triggers", "list")
    assert code == 0
    (row,) = [line for line in said.splitlines() if "cart_left" in line]
    assert "Cart left" in row
    assert "live" in row
    code, said = shell("triggers", "show", "cart_left")
    assert yaml.safe_load(said)["steps"] == yaml.safe_load(TRIGGER)["steps"]
    assert shell("triggers", "pause", "cart_left")[1].startswith("trigger cart_left: paused, ")
    assert shell("triggers", "resume", "cart_left")[1].startswith("trigger cart_left: live, ")
    # What was shown is what a file may say.
    file.write_text(said)
    assert shell("triggers", "apply", str(file)) == (0, "no changes\n")
    assert shell("triggers", "archive", "cart_left")[0] == 0
    code, said = shell("triggers", "list", "--status", "archived", "--json")
    assert [one["id"] for one in json.loads(said)] == ["cart_left"]


@pytest.mark.embedded
def test_each_refusal_has_its_exit_code_and_says_where(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "cart.yaml"
    file.write_text(TRIGGER.replace("event.cart", "cart"))
    code, said = shell("triggers", "apply", str(file))
    assert code == 3
    assert "triggers.cart_left.steps[0].send.content.body: unknown variable" in said
    assert shell("tags", "apply", str(file))[0] == 3, "a trigger is no tag"
    assert shell("triggers", "list", "--status", "gone")[0] == 3
    assert shell("triggers", "show", "nobody")[0] == 6
    assert shell("triggers", "list", CUESTREAM_API_TOKENS="wrong")[0] == 5
    away = f"http://127.0.0.1:{free_port()}"
    assert shell("triggers", "list", CUESTREAM_API_URL=away)[0] == 7
    assert shell("triggers", "show")[0] == 2
    file.write_text(TRIGGER)
    assert shell("triggers", "apply", str(file))[0] == 0
    assert shell("triggers", "archive", "cart_left")[0] == 0
    assert shell("triggers", "pause", "cart_left")[0] == 4


@pytest.mark.embedded
def test_a_template_is_previewed_on_a_person_and_on_a_profile_in_a_file(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "thanks.yaml"
    file.write_text(TEMPLATE)
    assert shell("templates", "apply", str(file))[0] == 0
    event = tmp_path / "event.json"
    event.write_text('{"order_id": "o-1"}')
    asked = ("templates", "preview", "thanks", "--event", str(event))
    code, said = shell(*asked, "--person", "ada")
    assert (code, said) == (0, "subject: Hi A<da>\nbody: o-1\n")
    profile = tmp_path / "profile.yaml"
    profile.write_text("traits: {}\n")
    code, said = shell(*asked, "--profile", str(profile))
    assert code == 0
    assert "subject: Hi friend" in said
    assert "fallback for first_name" in said
    code, said = shell("templates", "preview", "thanks", "--person", "ada")
    assert code == 3, "a preview of what could not be sent is no success"
    assert "content.body: 'order_id' is undefined" in said
    assert shell("templates", "preview", "thanks")[0] == 2


async def test_every_kind_has_the_operations_that_its_commands_call() -> None:
    async with Client("http://127.0.0.1:1", "token") as client:
        for kind, plural in PLURALS.items():
            assert hasattr(client, f"list_{plural}")
            for verb in ("read", "publish", "archive"):
                assert hasattr(client, f"{verb}_{kind}"), (verb, kind)
