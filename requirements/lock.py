"""Compile requirements/*.lock from pyproject.toml: hashes for every file, no index address."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXTRAS = {"run.lock": ["build", "embedded"], "dev.lock": ["build", "embedded", "dev"]}


def main() -> None:
    """Write each lock for all supported Python versions and platforms."""
    for name, extras in EXTRAS.items():
        arguments = [part for extra in extras for part in ("--extra", extra)]
        subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *arguments),
                *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"),
                *("--no-emit-index-url", "--no-emit-find-links", "--quiet"),
                *("-o", str(HERE / name)),
            ],
            check=True,
            cwd=HERE.parent,
        )


if __name__ == "__main__":
    main()
