"""`python -m services.triggers.backtest`: one job of the API, in a process of its own."""

import sys

from services.triggers.backtest.child import main

if __name__ == "__main__":
    sys.exit(main())
