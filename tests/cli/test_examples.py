"""The definitions that are shipped are right, and say what they seem to say."""

from typing import Any

import msgspec
import pytest

from services.cli.definitions import example_files, files_of, read_definitions
from services.contracts.definitions import KINDS, Bundle
from services.contracts.errors import DefinitionError
from services.triggers.engine import check, compile_rules

SETS = ("retail", "shop")


def bundle_of(name: str) -> Bundle:
    by_kind: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for definition in read_definitions(example_files(name)):
        kind = definition.pop("kind")
        by_kind[kind].append(msgspec.convert(definition, KINDS[kind]))
    (workspace,) = by_kind["workspace"]
    return Bundle(
        revision=1,
        workspace=workspace,
        triggers=tuple(by_kind["trigger"]),
        tags=tuple(by_kind["tag"]),
        policies=tuple(by_kind["policy"]),
    )


@pytest.mark.parametrize("name", SETS)
def test_a_shipped_set_has_no_problem_and_compiles(name: str) -> None:
    bundle = bundle_of(name)
    assert check(bundle) == []
    compile_rules(bundle)


@pytest.mark.parametrize("name", SETS)
def test_a_shipped_set_keeps_to_three_marketing_messages_in_24_hours(name: str) -> None:
    caps = {policy.id: policy for policy in bundle_of(name).policies}
    daily = caps["marketing_daily"]
    assert (daily.limit, daily.window, daily.scope.value) == (3, "24h", "marketing")


@pytest.mark.parametrize("name", SETS)
def test_valued_customers_go_first(name: str) -> None:
    first = max(bundle_of(name).triggers, key=lambda trigger: trigger.priority)
    assert first.id in ("personal_service", "valued_customer")


def test_the_retail_set_uses_every_aggregate() -> None:
    used = {tag.aggregate for tag in bundle_of("retail").tags}
    assert used == {
        "count", "sum", "min", "max", "last", "first", "distinct", "average", "top_k",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: [", "line 1"),
        ("- 1", "must be a mapping"),
        ("id: x", "must be a mapping with a kind"),
        ("kind: tag\n---\n7", "document 2"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_place(
    tmp_path: Any, text: str, complaint: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(DefinitionError, match=complaint):
        read_definitions([file])


def test_a_folder_gives_its_definition_files_in_order_of_their_names(tmp_path: Any) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [file.name for file in files_of(tmp_path)] == ["a.yml", "b.yaml", "c.json"]
