"""Somebody anonymous logs in: one person from then on, under whichever id they come."""

from pathlib import Path

import pytest

from tests.support.merging_live import tell


@pytest.mark.embedded
@pytest.mark.xdist_group("stack")
@pytest.mark.timeout(240)
async def test_a_visitor_who_logs_in_is_one_person_with_the_user_in_every_part(
    tmp_path: Path,
) -> None:
    await tell(None, "", tmp_path / "data")
