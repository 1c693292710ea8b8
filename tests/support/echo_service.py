"""A process for the supervisor's tests: serves /readyz on a port and behaves as it is told.

`python -m tests.support.echo_service PORT [unready|deaf|dies]`: never ready; ignores SIGTERM; ends
with code 3 at once.
"""

import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


def main(port: int, behaviour: str) -> None:
    """Serve until a signal."""
    status = 503 if behaviour == "unready" else 200
    if behaviour == "dies":
        print("cannot go on", flush=True)
        raise SystemExit(3)
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
