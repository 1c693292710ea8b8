"""The documents: links lead somewhere, what is generated is current."""

import re
import subprocess
import sys
from pathlib import Path

from tests.house.files import ROOT, place, project_files

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
MENTION = re.compile(r"\b(docs/[\w./-]*\w)")
HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def _prose(path: Path) -> str:
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def _anchors(path: Path) -> set[str]:
    # GitHub's rule: lower case, punctuation away, a hyphen for each space.
    titles = (title.replace("`", "") for title in HEADING.findall(_prose(path)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _broken(path: Path) -> list[str]:
    broken: list[str] = []
    for match in LINK.finditer(_prose(path)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    return broken


def test_links_in_documents_lead_somewhere() -> None:
    broken = [f"{place(path)}: {to}" for path in project_files(".md") for to in _broken(path)]
    assert broken == []


def test_documents_named_in_code_and_configuration_exist() -> None:
    missing = [
        f"{place(path)}: {name}"
        for path in project_files(".py", ".yml", ".yaml", ".toml", ".env", ".md")
        for name in MENTION.findall(path.read_text(encoding="utf-8"))
        # A decision may be named by its number alone.
        if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}-*"))
    ]
    assert missing == []


def test_a_broken_link_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The `first` title: here\n"
        "[a](#the-first-title-here) [b](gone.md) [c](#nowhere) [d](https://example.com)\n"
        "```\n[e](in-an-example.md)\n```\n"
    )
    assert _broken(page) == ["gone.md", "#nowhere"]


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = sorted(
        path.name for path in folder.glob("0*.md") if not path.name.startswith("0000")
    )
    assert decisions
    assert [name for name in decisions if f"]({name})" not in index] == []


def test_generated_documents_are_current() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
