"""The hostile texts and strings of tests/data/hostile_input."""

import json
import tarfile
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "hostile_input"


@cache
def json_texts() -> dict[str, bytes]:
    """318 JSON texts by name: y_ valid, n_ invalid, i_ either."""
    texts = {}
    with tarfile.open(FOLDER / "JSONTestSuite_test_parsing.tar.gz") as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None and member.name.endswith(".json"):
                texts[Path(member.name).name] = file.read()
    return texts


@cache
def strings() -> list[str]:
    """515 strings that break naive code."""
    listed: list[str] = json.loads((FOLDER / "blns.json").read_text("utf-8"))
    return listed
