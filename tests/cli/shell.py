"""`cuestream` as somebody at a terminal has it."""

import os
import subprocess
import sys

from tests.api.conftest import TOKEN


class Shell:
    """Runs `cuestream` with a token, against one API."""

    def __init__(self, api_url: str) -> None:
        self._environment = {
            **os.environ,
            "CUESTREAM_API_URL": api_url,
            "CUESTREAM_API_TOKENS": TOKEN,
            "COLUMNS": "200",
        }

    def __call__(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code, and output of both kinds."""
        done = subprocess.run(
            [sys.executable, "-c", "from services.cli.main import app; app()", *arguments],
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr
