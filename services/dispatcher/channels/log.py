"""The log channel: a line for each send, for trying out and for channels yet to come."""

import asyncio
import os
from pathlib import Path
from typing import Final

import msgspec

from services.dispatcher.channels.port import Accepted, Delayed, Message, Outcome
from services.runtime.logs import get_logger

_log = get_logger(__name__)
_encode: Final = msgspec.json.Encoder().encode


class LogChannel:
    """Writes a structured log line without personal data, and the whole message to `file`.

    The file gets one JSON line a send and holds personal data: it is off unless asked for.
    A line is with the operating system before the send counts as accepted. Idempotent by
    convention: readers take the first line of a `send_id`.
    """

    idempotent: Final = True

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._descriptor: int | None = None
        self._lines: list[bytes] = []
        self._written: asyncio.Future[str | None] | None = None

    async def send(self, message: Message) -> Outcome:
        """Accepted once written; delayed while the file cannot be written."""
        if self._file is not None:
            trouble = await self._append(_encode(message) + b"\n")
            if trouble is not None:
                return Delayed(reason=trouble)
        _log.info(
            "send",
            send_id=message.send_id,
            trigger=message.trigger,
            trigger_version=message.trigger_version,
            step=message.step,
            category=message.category,
        )
        return Accepted()

    async def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, line: bytes) -> "asyncio.Future[str | None]":
        # All sends of one turn of the event loop share one write.
        self._lines.append(line)
        if self._written is None:
            loop = asyncio.get_running_loop()
            self._written = loop.create_future()
            loop.call_soon(self._write)
        return self._written

    def _write(self) -> None:
        written, self._written = self._written, None
        lines, self._lines = self._lines, []
        trouble: str | None = None
        try:
            self._write_all(b"".join(lines))
        except OSError as error:
            trouble = f"log file: {os.strerror(error.errno or 0)}"
        if written is not None and not written.done():
            written.set_result(trouble)

    def _write_all(self, data: bytes) -> None:
        if self._descriptor is None:
            assert self._file is not None
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._descriptor = os.open(self._file, flags, 0o600)
        while data:
            data = data[os.write(self._descriptor, data) :]
