"""`python -m services.ingest`."""

import sys

from services.ingest.main import run

if __name__ == "__main__":
    sys.exit(run())
