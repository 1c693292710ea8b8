"""The commands in docs/api.md do what it says."""

import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import client_of
from tests.api.whole import make_whole

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def requests_of(document: str) -> list[tuple[str, str, dict[str, str], str | None]]:
    """Method, address, headers and body of every curl command, in order."""
    found = []
    for words in (
        shlex.split(command, comments=True)
        for block in BLOCK.findall(document)
        for command in re.split(r"\n(?=curl|cuestream|export|#|\n)", block)
    ):
        if words[:1] != ["curl"]:
            continue
        method, url, headers, body = "", "", {}, None
        rest = iter(words[1:])
        for word in rest:
            if word == "-X":
                method = next(rest)
            elif word == "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = next(rest)
            elif word.startswith("$API"):
                url = word.removeprefix("$API")
        assert headers.pop("$AUTH", None) == "", words
        found.append((method or ("GET" if body is None else "POST"), url, headers, body))
    return found


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole API that may do everything."""
    async with client_of(await make_whole()) as made:
        yield made


async def test_every_command_in_the_document_succeeds(client: httpx.AsyncClient) -> None:
    requests = requests_of(DOCUMENT.read_text())
    assert len(requests) >= 12
    trigger = next(body for _, url, _, body in requests if url == "/v1/triggers" and body)
    for method, url, headers, body in requests:
        content = trigger if body is not None and body.startswith("@") else body
        answer = await client.request(method, url, headers=headers, content=content)
        assert answer.is_success, (method, url, answer.text)
    archived = (await client.get("/v1/triggers/third_order")).json()
    assert archived["status"] == "archived"
    # Published, paused, resumed; replacing it by what stood there already was no version.
    assert archived["published"] == json.loads(trigger) | {"version": 3}
