"""Locks, Makefile and CI script."""

import os
import re
import subprocess

import pytest

from tests.house.files import ROOT

LOCKS = ("run.lock", "service.lock", "dev.lock")
REQUIREMENT = re.compile(
    r"^([a-z0-9][a-z0-9._-]*(?:\[[^\]]*\])?)==(\S+)(.*(?:\n    --hash=.*)*)", re.MULTILINE
)


def _locked(name: str) -> set[tuple[str, str]]:
    # A package may be locked twice, for different versions of Python.
    text = (ROOT / "requirements" / name).read_text()
    return {(match[1], match[2]) for match in REQUIREMENT.finditer(text)}


def _targets() -> set[str]:
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {line.partition(":")[0] for line in lines if re.match(r"[a-z-]+:(?!=)", line)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    bare = [match[1] for match in REQUIREMENT.finditer(text) if "--hash=sha256:" not in match[3]]
    assert bare == []
    unindented = [line for line in text.splitlines() if re.match(r"[^ #\n]", line)]
    assert len(unindented) == len(_locked(name)) > 50


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert not re.search(r"^--?[a-z]", text, re.MULTILINE)


def test_what_runs_is_what_was_tested() -> None:
    tested = _locked("dev.lock")
    for name in ("run.lock", "service.lock"):
        assert _locked(name) <= tested, name
    assert _locked("service.lock") < _locked("run.lock")


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    # What make tells its children must not reach this one.
    plain = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    answer = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        env=plain,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", answer.stdout, re.MULTILINE))
    assert set(listed) == _targets()
    assert {"demo", "test", "check", "integration", "up", "kafka", "docs", "lock"} <= set(listed)


def test_every_target_is_phony() -> None:
    (declared,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(declared.split()) == _targets()


def test_the_ci_script_can_be_run_and_is_sound_bash() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    answer = subprocess.run(
        ["bash", "-n", str(script)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "set -euo pipefail" in script.read_text()
