"""The examples of docs/definitions.md are right, and so are its numbers."""

import re

import msgspec
import yaml

from services.contracts.definitions import (
    KINDS,
    VERSIONS_KEPT_MAX,
    Workspace,
)
from services.contracts.steps import STEPS_DEPTH_MAX, STEPS_MAX
from services.triggers.definitions.texts import check_whole
from services.triggers.definitions.values import make_bundle
from services.triggers.engine import limits
from tests.house.files import ROOT

PAGE = (ROOT / "docs/definitions.md").read_text(encoding="utf-8")


def test_the_examples_can_be_published() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found = [
        msgspec.convert(document, KINDS[document.pop("kind")])
        for block in blocks
        for document in yaml.safe_load_all(block)
    ]
    workspaces = [one for one in found if isinstance(one, Workspace)]
    others = [one for one in found if not isinstance(one, Workspace)]
    assert workspaces
    assert others
    for workspace in workspaces:
        assert check_whole(make_bundle(1, [workspace, *others])) == []


def test_the_limits_told_are_those_in_force() -> None:
    rows = dict(re.findall(r"^\| ([a-z][^|]*?) \| ([^|]*?) \| [^|]* \|$", PAGE, re.MULTILINE))
    numbers = {name: [int(n) for n in re.findall(r"\d+", text)] for name, text in rows.items()}
    assert numbers["traits of a person"] == [
        limits.TRAITS_MAX,
        limits.TRAIT_BYTES_MAX // 1024,
        limits.TRAITS_BYTES_MAX // 1024,
        limits.TRAIT_NAME_CHARS_MAX,
    ]
    assert numbers["tags of a workspace"] == [
        limits.TAGS_MAX,
        limits.BUCKETS_MAX,
        limits.TAGS_BYTES_MAX // 1000,
    ]
    assert numbers["triggers, policies, segments, life cycles"] == [
        limits.TRIGGERS_MAX,
        limits.POLICIES_MAX,
        limits.SEGMENTS_MAX,
        limits.LIFECYCLES_MAX,
    ]
    assert numbers["steps of a trigger, lists in lists"] == [STEPS_MAX, STEPS_DEPTH_MAX]
    assert numbers["versions of a trigger under way"] == [VERSIONS_KEPT_MAX]
    assert numbers["sends that wait and journeys"] == [
        limits.RUNS_MAX,
        limits.RUNS_BYTES_MAX // 1024,
    ]
    assert numbers["sends counted by caps"] == [limits.SENDS_MAX, limits.SHADOW_SENDS_MAX]
    assert numbers["dedup keys, once-per-key entries"] == [limits.DEDUP_KEYS_MAX]
    assert numbers["keys waited for, events for a sequence"] == [
        limits.WAITING_KEYS_MAX,
        limits.SEQUENCE_EVENTS_MAX,
        limits.WAIT_PROPERTIES_BYTES_MAX // 1024,
        limits.SLOTS_BYTES_MAX // 1000,
    ]
    assert numbers["triggers entered (`once`, `cooldown`)"] == [limits.ENTRIES_MAX]
