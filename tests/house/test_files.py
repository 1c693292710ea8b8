"""What no file of the project may hold."""

import re
from pathlib import Path

from tests.house.files import ROOT, place, project_files

BINARY = {".gz", ".png", ".ico", ".jar"}
# Written apart, so that this file does not hold them.
REGISTRIES = tuple(
    "".join(parts)
    for parts in (
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("registry", ".npmjs"),
        ("repo.maven", ".apache"),
        ("repo1", ".maven"),
        ("deb.debian", ".org"),
        ("proxy.golang", ".org"),
        ("--index", "-url"),
        ("--extra-index", "-url"),
        ("--find", "-links"),
    )
)
COMMON = {"/", "/tmp", "/home", "/srv", "/opt", "/usr/src", "/var/tmp"}
# It tells the compiler of the locks to leave them out.
MAY_NAME_OPTIONS = {"requirements/lock.py"}


def _places_of_this_machine() -> tuple[str, ...]:
    # Everybody may name /, /tmp and their like, wherever this checkout stands.
    return tuple(f"{path}/" for path in (Path.home(), ROOT.parent) if str(path) not in COMMON)


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{place(path, number)}: {host}"
        for path in project_files()
        if path.suffix not in BINARY and place(path) not in MAY_NAME_OPTIONS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for host in REGISTRIES
        if host in line
    ]
    assert found == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    found = [
        place(path, number)
        for path in project_files()
        # Hostile input is others' words, paths included.
        if path.suffix not in BINARY and "hostile_input" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for folder in _places_of_this_machine()
        if folder in line
    ]
    assert found == []


def test_text_files_end_with_one_newline_and_have_no_carriage_returns() -> None:
    found = [
        place(path)
        for path in project_files(".py", ".md", ".yml", ".yaml", ".toml", ".sh", ".json", ".env")
        # Captured and downloaded data is kept as it came.
        if "data" not in path.parts
        and (data := path.read_bytes())
        and (not data.endswith(b"\n") or data.endswith(b"\n\n") or b"\r" in data)
    ]
    assert found == []


def test_no_large_file_stands_in_the_project() -> None:
    kilobytes_max = 1024
    found = [
        place(path)
        for path in project_files()
        if path.stat().st_size > kilobytes_max * 1024 and path.suffix != ".lock"
    ]
    assert found == []


def test_an_npm_lock_records_hashes_and_no_addresses() -> None:
    for path in project_files(".json"):
        if path.name == "package-lock.json":
            text = path.read_text()
            assert '"integrity"' in text, place(path)
            assert not re.search(r'"resolved":\s*"http', text), place(path)
