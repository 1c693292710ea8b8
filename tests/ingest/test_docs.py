"""docs/ingest.md names every code that a client can meet."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [
    *(ROOT / "services" / "ingest").glob("*.py"),
    ROOT / "services" / "contracts" / "segment.py",
    ROOT / "services" / "contracts" / "timestamp.py",
]
RAISED = re.compile(
    r'(?:Malformed\(|Refused\(\s*\d+,|_required\([^,]+,[^,]+,|"code":)\s*"([a-z_]+)"'
)


def test_every_code_is_documented() -> None:
    codes = {code for source in SOURCES for code in RAISED.findall(source.read_text("utf-8"))}
    assert len(codes) > 30
    page = (ROOT / "docs" / "ingest.md").read_text("utf-8")
    assert sorted(code for code in codes if f"`{code}`" not in page) == []
