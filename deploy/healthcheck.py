"""Health check of the image: exit 0 if `HEALTH_URL` answers 200, else print why and exit 1."""

import http.client
import os
import sys
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2.0
BODY_BYTES_MAX = 2000


def main() -> int:
    """Ask once; the exit code is Docker's verdict."""
    url = urlsplit(os.environ["HEALTH_URL"])
    link = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port, TIMEOUT_SECONDS)
    try:
        link.request("GET", url.path)
        answer = link.getresponse()
        body = answer.read(BODY_BYTES_MAX)
    except (OSError, http.client.HTTPException) as problem:
        print(f"{url.geturl()}: {problem!r}")
        return 1
    if answer.status != 200:
        print(f"{url.geturl()}: {answer.status} {body.decode(errors='replace')}")
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main())
