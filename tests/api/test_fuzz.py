"""Requests made up from the OpenAPI document: no answer is a server's error, all fit it."""

from pathlib import Path

import pytest

from tests.api.conftest import TOKEN
from tests.api.whole import make_whole
from tests.support.fuzzing import assert_schemathesis_finds_nothing
from tests.support.serving import served


@pytest.mark.embedded  # for its length alone: it needs neither broker nor database
@pytest.mark.timeout(300)
def test_no_operation_answers_otherwise_than_the_document_says(tmp_path: Path) -> None:
    with served(make_whole) as url:
        assert_schemathesis_finds_nothing(
            f"{url}/v1/openapi.json", TOKEN, tmp_path, seconds_max=280, examples=2
        )
