"""The page of the command line, written from the help texts of its commands."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from services.cli.api import (
    EXIT_CONFLICT,
    EXIT_FAILED,
    EXIT_FORBIDDEN,
    EXIT_NOT_FOUND,
    EXIT_UNAVAILABLE,
    EXIT_WRONG,
)
from services.cli.console import EXIT_INTERRUPTED
from services.cli.main import app

HEAD = f"""# Command line

Generated from the help texts by `make docs`; do not edit. `cuestream COMMAND --help` says the same.

Commands that ask the [marketers' API](api.md) (`apply`, `audit`, `stop`, `resume`, `stops`,
`tokens` and those of each kind of definition) find it at `--api-url` or `CUESTREAM_API_URL`, and
take the first of `CUESTREAM_API_TOKENS` as their bearer token: never an option, since a command
line is seen by everybody on the machine. They go through `services.client`, which programs may use
as well. A refusal is printed with the place and the reason of each problem.

| exit code | |
|---|---|
| 0 | done |
| {EXIT_FAILED} | it failed otherwise |
| 2 | the command line is wrong |
| {EXIT_WRONG} | what was given is wrong: a definition, a file, a value (400, 413, 422) |
| {EXIT_CONFLICT} | its state forbids it, or somebody else changed it meanwhile (409, 412, 428) |
| {EXIT_FORBIDDEN} | no valid token, or not the role or the second person it needs (401, 403) |
| {EXIT_NOT_FOUND} | there is none (404) |
| {EXIT_UNAVAILABLE} | the API is away or busy: try again (429, 503) |
| {EXIT_INTERRUPTED} | interrupted |

`show` prints what `apply` reads, so that a definition can be taken from one workspace to another:

```sh
cuestream triggers show third_order > third_order.yaml
cuestream triggers apply third_order.yaml --dry-run
```
"""


def cli_page() -> str:
    """Every command with its arguments and options."""
    # Typer's own kind of command; groups are those that have commands.
    root: Any = typer.main.get_command(app)
    groups = {name: one for name, one in root.commands.items() if hasattr(one, "commands")}
    alone = {name: one for name, one in root.commands.items() if name not in groups}
    lines = [HEAD, "## Commands", "", *_table("cuestream", alone), ""]
    for name, group in sorted(groups.items()):
        lines += [f"## cuestream {name}", "", _sentence(group), ""]
        lines += [*_table(f"cuestream {name}", group.commands), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(prefix: str, commands: Mapping[str, Any]) -> Iterator[str]:
    yield "| command | |"
    yield "|---|---|"
    for name, command in sorted(commands.items()):
        usage = " ".join([prefix, name, *_usage(command)])
        yield f"| `{usage}` | {_sentence(command)} |"


def _usage(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            shown = parameter.name.rstrip("_").upper() + ("…" if parameter.nargs == -1 else "")
            yield shown if parameter.required else f"[{shown}]"
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "api_url":
            name = max(parameter.opts, key=len)
            shown = name if parameter.is_flag else f"{name} {name.lstrip('-').upper()}"
            yield shown if parameter.required else f"[{shown}]"


def _sentence(command: Any) -> str:
    text = (command.help or "").split("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")
