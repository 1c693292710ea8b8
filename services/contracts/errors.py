"""Errors named for what the caller must do.

`Malformed` → dead letter, go on. `Transient` → back off and retry in place. Anything else
→ stop the process without committing.
"""


class CuestreamError(Exception):
    """Base of all errors of our own."""


class Malformed(CuestreamError):
    """The input can never be processed; it belongs in the dead letters with this reason.

    `code` is a short stable identifier for metrics and clients, `message` is for people and
    never contains a value of the input (values can be personal data).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Transient(CuestreamError):
    """The same call may succeed later; `retry_after_seconds` says when, if the peer said so."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DefinitionError(CuestreamError):
    """A definition cannot be right. `problems` lists every place and reason that was found."""

    def __init__(self, problems: "list[tuple[str, str]]") -> None:
        super().__init__("; ".join(f"{place}: {reason}" for place, reason in problems))
        self.problems = problems
