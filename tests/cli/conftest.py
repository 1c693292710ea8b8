"""The marketers' API, for commands to talk to."""

from collections.abc import Iterator

import pytest

from tests.api.whole import make_whole
from tests.cli.shell import Shell
from tests.support.serving import served


@pytest.fixture
def api_url() -> Iterator[str]:
    """The address of the whole API over fakes, with all checks."""
    with served(make_whole) as url:
        yield url


@pytest.fixture
def shell(api_url: str) -> Shell:
    """A terminal, with an administrator's token for that API."""
    return Shell(api_url)
