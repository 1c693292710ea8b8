"""`cuestream tags report` against the real API, each command a process of its own."""

import json

import pytest

from services.cli.definitions import example_files
from tests.cli.shell import Shell


@pytest.mark.embedded
def test_the_starter_set_is_applied_and_reported_as_used_by_nobody(shell: Shell) -> None:
    code, said = shell("tags", "report")
    assert (code, said.splitlines()[0]) == (0, "0 tags in force, 0 unused, 0 stale")
    folder = str(example_files("tags")[0].parent)
    code, said = shell("tags", "apply", folder)
    assert code == 0, said
    code, said = shell("tags", "report")
    assert code == 0
    assert "nobody uses it" in said
    assert "the profile store was not asked" in said
    code, said = shell("tags", "report", "--json", "--all", "--days", "7")
    told = json.loads(said)
    assert told["stale_after_days"] == 7
    assert told["tags_in_force"] == len(told["tags"])
    of_value = next(one for one in told["tags"] if one["id"] == "lifetime_value")
    assert "tags.value_level.derive.bands.of" in of_value["used_by"]
