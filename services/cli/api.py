"""What all commands that ask the marketers' API share: the connection, errors, exit codes."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer
import yaml
from rich.markup import escape

from services.cli import console
from services.cli.stack import DEFAULT_PORTS
from services.client import ApiError, Client, Unreachable
from services.contracts.errors import CuestreamError, Transient
from services.runtime.logs import configure_logs
from services.runtime.settings import ProcessSettings, load

API_URL: Final = f"http://127.0.0.1:{DEFAULT_PORTS['api']}"
TOKEN_ENVIRONMENT: Final = "CUESTREAM_API_TOKENS"  # noqa: S105  (the name of a variable)

EXIT_FAILED: Final = 1
EXIT_WRONG: Final = 3
EXIT_CONFLICT: Final = 4
EXIT_FORBIDDEN: Final = 5
EXIT_NOT_FOUND: Final = 6
EXIT_UNAVAILABLE: Final = 7

_EXITS: Final = {
    400: EXIT_WRONG,
    413: EXIT_WRONG,
    422: EXIT_WRONG,
    409: EXIT_CONFLICT,
    412: EXIT_CONFLICT,
    428: EXIT_CONFLICT,
    401: EXIT_FORBIDDEN,
    403: EXIT_FORBIDDEN,
    404: EXIT_NOT_FOUND,
    429: EXIT_UNAVAILABLE,
    503: EXIT_UNAVAILABLE,
}

T = TypeVar("T")

ApiUrl = Annotated[
    str, typer.Option(envvar="CUESTREAM_API_URL", help="address of the marketers' API")
]
AsJson = Annotated[bool, typer.Option("--json", help="print the API's answer as JSON")]


class Refused(CuestreamError):
    """The API refuses, or what was given to it is wrong: `exit_code` says which."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def token() -> str:
    """The bearer token: the first that the environment names.

    Never an option: a command line is seen by everybody on the machine.
    """
    return os.environ.get(TOKEN_ENVIRONMENT, "").split(",")[0].strip()


def ask(api_url: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run a command that asks the API.

    Raises:
        typer.Exit: see `run`.
    """

    async def connected() -> T:
        async with Client(api_url, token()) as client:
            return await work(client)

    return run(connected())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end; what the API refuses ends it with a line for each problem.

    Raises:
        typer.Exit: with the exit code that docs/cli.md gives for it.
    """
    configure_logs(load(ProcessSettings, log_format="console", log_level="warning"), "cli")
    try:
        return asyncio.run(work)
    except ApiError as error:
        raise _ended(refusal(error)) from None
    except (Unreachable, Transient) as error:
        raise _ended(Refused(str(error), EXIT_UNAVAILABLE)) from None
    except CuestreamError as error:
        raise _ended(error) from None
    except KeyboardInterrupt:
        raise typer.Exit(console.EXIT_INTERRUPTED) from None


def refusal(error: ApiError) -> Refused:
    """What to say of a refusal: its sentence, then place and reason of each problem."""
    lines = [error.detail or f"the API answered {error.status}"]
    lines += [f"  {one.place}: {one.reason}" for one in error.errors]
    return Refused("\n".join(lines), _EXITS.get(error.status, EXIT_FAILED))


def _ended(error: CuestreamError) -> typer.Exit:
    code = error.exit_code if isinstance(error, Refused) else EXIT_FAILED
    message = str(error)
    console.err.print(f"[red]cuestream:[/red] {escape(message)}", soft_wrap=True)
    return typer.Exit(code)


def print_json(value: Any) -> None:
    """A value of the API as JSON, for programs."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def print_yaml(value: Any) -> None:
    """A value of the API as YAML, for people and files."""
    plain = msgspec.to_builtins(value)
    typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
