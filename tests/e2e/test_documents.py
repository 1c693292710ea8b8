"""The services' own OpenAPI documents, against the services as they run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.stack import Stack, StackSettings
from tests.support.fuzzing import assert_schemathesis_finds_nothing

EXAMPLES = 5


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """Every service, ready."""
    settings = StackSettings(
        data_dir=tmp_path / "data",
        partitions=1,
        free_ports=True,
        durable=False,
        environment={
            "CUESTREAM_DISPATCHER_PUBLIC_URL": "https://shop.example",
            "CUESTREAM_DISPATCHER_LINK_KEYS": "a-key-of-at-least-32-characters--",
        },
    )
    async with Stack(settings) as made:
        yield made


@pytest.mark.embedded
@pytest.mark.xdist_group("stack")
@pytest.mark.timeout(400)
async def test_profile_store_and_dispatcher_answer_as_their_documents_say(
    stack: Stack, tmp_path: Path
) -> None:
    for url in (stack.profile_store_url, stack.dispatcher_url):
        assert_schemathesis_finds_nothing(
            f"{url}/openapi.json", stack.api_token, tmp_path, seconds_max=150, examples=EXAMPLES
        )
