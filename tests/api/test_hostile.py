"""Hostile input is refused or kept as it is, and is never an error of ours."""

import json
from typing import Any

import httpx
import pytest

from tests.support.hostile import json_texts, strings

TAG: dict[str, Any] = {"id": "orders", "aggregate": "count", "events": ["Order Completed"]}
ANY = {"If-Match": "*"}


@pytest.mark.parametrize("path", ["/v1/tags", "/v1/apply", "/v1/triggers"])
async def test_every_json_text_is_refused(client: httpx.AsyncClient, path: str) -> None:
    for name, text in json_texts().items():
        refused = await client.post(path, content=text)
        assert refused.status_code in (400, 422), (name, refused.text)
        assert refused.json()["errors"], name


async def test_every_string_as_a_name_is_kept_exactly_or_refused(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.post("/v1/tags", json=TAG)).status_code == 201
    for text in strings():
        body = TAG | {"name": text, "description": text}
        answer = await client.put("/v1/tags/orders", content=json.dumps(body), headers=ANY)
        if answer.status_code == 200:
            assert (await client.get("/v1/tags/orders")).json()["draft"].get("name") == text
        else:
            assert answer.status_code == 422, text
            assert answer.json()["errors"][0]["place"].startswith("tags.orders."), text


async def test_every_string_as_an_id_is_refused_or_a_plain_one(
    client: httpx.AsyncClient,
) -> None:
    for text in strings():
        answer = await client.post("/v1/tags", content=json.dumps(TAG | {"id": text}))
        plain = text.isascii() and text.isidentifier() and text.islower() and text[0] != "_"
        assert answer.status_code == (201 if plain else 422), text
