"""`python -m services.triggers.api`."""

import sys

from services.runtime.serving import run_process
from services.runtime.settings import load
from services.triggers.api.main import main
from services.triggers.api.settings import ApiSettings

if __name__ == "__main__":
    settings = load(ApiSettings)
    sys.exit(run_process("triggers-api", settings, lambda stop: main(settings, stop)))
