"""Run the demo on the whole Online Retail file and hold it against the oracle.

python -m tests.e2e.verify_whole online_retail.csv.gz
"""

import sys
import tempfile
from pathlib import Path

from tests.e2e.demo_check import differences, run_demo
from tests.e2e.retail_pandas import Oracle

TIMEOUT_SECONDS = 3600.0


def main(path: Path) -> int:
    """Print what the demo printed, then every difference; 0 when there is none."""
    with tempfile.TemporaryDirectory() as folder:
        ran = run_demo(Path(folder), file=path, timeout_seconds=TIMEOUT_SECONDS)
    print(ran.printed)
    wrong = differences(ran, Oracle(path))
    for difference in wrong:
        print(f"different: {difference}")
    verdict = "agrees with the file in every total" if not wrong else "DIFFERS from the file"
    print(f"exit code {ran.code}; {len(ran.profiles):,} profiles; {verdict}")
    return 1 if wrong or ran.code else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
