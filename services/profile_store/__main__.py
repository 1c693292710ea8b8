"""`python -m services.profile_store`."""

import sys

from services.profile_store.main import main

if __name__ == "__main__":
    sys.exit(main())
