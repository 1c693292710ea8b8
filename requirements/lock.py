"""Compile requirements/*.lock from pyproject.toml: hashes for every file, no index address."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def compile_lock(name: str, extras: tuple[str, ...], constraint: str | None = None) -> None:
    """Write one lock for all supported Python versions and platforms."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet"]
    command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "-o", f"requirements/{name}"]
    command += [part for extra in extras for part in ("--extra", extra)]
    if constraint is not None:
        command += ["--constraint", f"requirements/{constraint}"]
    subprocess.run(command, check=True, cwd=HERE.parent)


if __name__ == "__main__":
    # What runs is a subset of what is tested, at the very same versions.
    compile_lock("dev.lock", ("build", "embedded", "dev"))
    compile_lock("run.lock", ("build", "embedded"), constraint="dev.lock")
    compile_lock("service.lock", ("build",), constraint="dev.lock")
