"""A request refused as a whole: what the client is told."""


class Refused(Exception):
    """Answer with `status` and `{"code", "message"}`; nothing of the request was taken.

    `message` never repeats what the client sent.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds
