"""Make the secrets that docker-compose.yml mounts, once: `python3 deploy/make_secrets.py`.

Each file of deploy/secrets/ is one secret, mounted into the containers that need it. A file
that exists is left alone, so running it again after an upgrade adds only what is new. The
folder is closed to other users; the files in it are readable because containers read them
under user ids of their own.
"""

import argparse
import secrets
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
RANDOM_BYTES = 24


def _random() -> str:
    # Hexadecimal needs no escaping in a URL or a header.
    return secrets.token_hex(RANDOM_BYTES)


def make(folder: Path) -> list[str]:
    """Write the files that are missing; returns their names."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made: list[str] = []

    def keep(name: str, value: Callable[[], str]) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(value())
            path.chmod(0o444)
            made.append(name)
        return path.read_text()

    password = keep("postgres_password", _random)
    url = f"postgresql+asyncpg://cuestream:{password}@postgres:5432/cuestream"
    keep("cuestream_database_url", lambda: url)
    keep("cuestream_write_keys", _random)
    keep("cuestream_api_tokens", _random)
    keep("cuestream_sensitive_keys", lambda: f"k1:{b64encode(secrets.token_bytes(32)).decode()}")
    keep("grafana_admin_password", _random)
    return made


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder: Path = parser.parse_args().folder
    made = make(folder)
    print(f"{folder.name}/: made {', '.join(made) if made else 'nothing, all there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
