"""`python -m services.dispatcher`."""

import sys

from services.dispatcher.main import run

if __name__ == "__main__":
    sys.exit(run())
