"""What all commands share: where they print, and how errors end them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from services.contracts.errors import CuestreamError
from services.runtime.logs import configure_logs
from services.runtime.settings import ProcessSettings, load

EXIT_INTERRUPTED: Final = 130

T = TypeVar("T")

out: Final = Console()
err: Final = Console(stderr=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end; our own errors become one message and exit code 1."""
    configure_logs(load(ProcessSettings, log_format="console", log_level="warning"), "cli")
    try:
        return asyncio.run(work)
    except CuestreamError as error:
        err.print(f"[red]cuestream:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
