"""The files that belong to the project: what git tracks, or all of a source archive."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEVER = {".git", ".venv", "node_modules", "__pycache__", ".cuestream", "build"}


def project_files(*suffixes: str) -> list[Path]:
    """Files with one of the suffixes (all files without one), in order."""
    answer = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if answer.returncode == 0:
        found = [ROOT / name for name in answer.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not NEVER.intersection(path.parts)]
    return sorted(
        path for path in found if path.is_file() and (not suffixes or path.suffix in suffixes)
    )


def place(path: Path, line: int = 0) -> str:
    """How a problem names its place."""
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))
