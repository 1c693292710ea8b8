"""Requests made up from an OpenAPI document, and what every answer has to be."""

import subprocess
import sys
from pathlib import Path
from typing import Final

CHECKS: Final = (
    "content_type_conformance",
    "missing_required_header",
    "negative_data_rejection",
    "not_a_server_error",
    "response_headers_conformance",
    "response_schema_conformance",
    "status_code_conformance",
    "unsupported_method",
)
SETTINGS: Final = """
[checks]
# An ETag that is none of ours is as good a refusal of what is wrong beside it.
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 406, 409, 412, 413, 422, 428, 503]
"""


def assert_schemathesis_finds_nothing(
    document: str, token: str, folder: Path, *, seconds_max: int, examples: int
) -> None:
    """Run schemathesis on the document at this address, and fail with all that it found.

    Credentials are always right: tests of their own are about others. The cases are the same
    in each run: at most so many `examples` of each operation, beside those of its edges.
    """
    settings = folder / "schemathesis.toml"
    settings.write_text(SETTINGS)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={settings}",
            "run",
            document,
            f"--header=Authorization: Bearer {token}",
            f"--checks={','.join(CHECKS)}",
            "--phases=examples,coverage,fuzzing",
            f"--max-examples={examples}",
            "--continue-on-failure",
            "--generation-deterministic",
            "--generation-with-security-parameters=false",
            "--suppress-health-check=all",
            "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
