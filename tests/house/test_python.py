"""The shape of our Python."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.files import ROOT, place, project_files

# "About 300" and "about 70": past these a file or function hides two ideas.
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80
# Files that are longer on purpose, with the reason.
LONGER: dict[str, str] = {
    "services/client/models.py": "generated: one struct for each schema of the API",
    "tests/ingest/test_http.py": "one test a rule of the HTTP specification",
}


def _modules() -> list[Path]:
    return project_files(".py")


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_module_says_what_it_is() -> None:
    silent = [
        place(path)
        for path in _modules()
        if (text := path.read_text(encoding="utf-8")).strip()
        and ast.get_docstring(ast.parse(text)) is None
    ]
    assert silent == []


def test_public_names_of_the_services_have_docstrings() -> None:
    silent = [
        f"{place(path, node.lineno)} {node.name}"
        for path in _modules()
        if place(path).startswith("services/") and "/migrations/" not in place(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []


def test_modules_stay_readable_at_one_sitting() -> None:
    long = {
        place(path): lines
        for path in _modules()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MODULE_LINES_MAX
    }
    assert {name: lines for name, lines in long.items() if name not in LONGER} == {}
    assert set(LONGER) == set(long), "take files that became shorter off the list"


def test_functions_stay_readable_without_scrolling() -> None:
    long = [
        f"{place(path, node.lineno)} {node.name}"
        for path in _modules()
        for node in _functions(path)
        if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_every_folder_with_modules_is_a_package() -> None:
    # Alembic reads its folders itself.
    missing = {
        place(path.parent)
        for path in _modules()
        if place(path).startswith(("services/", "tests/"))
        and "migrations" not in path.parts
        and not (path.parent / "__init__.py").exists()
    }
    assert missing == set()


def test_tests_are_named_as_sentences() -> None:
    words_min = 3
    short = [
        f"{place(path, node.lineno)} {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in _functions(path)
        if node.name.startswith("test_") and node.name.count("_") < words_min
    ]
    assert short == []
