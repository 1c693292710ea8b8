"""Message templates: Liquid, strict and sandboxed. A broken one is a permanent failure.

No template can reach files, other templates or attributes of Python objects, and each
rendering is bounded in loops, memory and output.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from liquid import BoundTemplate, Environment, FalsyStrictUndefined
from liquid.exceptions import LiquidError, UndefinedError

from services.contracts.errors import Malformed

TEMPLATES_CACHED_MAX: Final = 1024
LOOP_ITERATIONS_MAX: Final = 10_000
OUTPUT_BYTES_MAX: Final = 256 * 1024
LOCALS_BYTES_MAX: Final = 256 * 1024

# Filters and the renderer work on whatever values events carry. These are the ways in which
# such values break them beside Liquid's own errors; none of them is a fault of the process.
_DATA_ERRORS: Final = (
    LiquidError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
)  # fmt: skip


class _Sandbox(Environment):
    loop_iteration_limit = LOOP_ITERATIONS_MAX
    output_stream_limit = OUTPUT_BYTES_MAX
    local_namespace_limit = LOCALS_BYTES_MAX


# A missing value may be asked for (`{% if name %}`, `default`) but not printed.
_text: Final = _Sandbox(undefined=FalsyStrictUndefined)
_html: Final = _Sandbox(undefined=FalsyStrictUndefined, autoescape=True)


@lru_cache(maxsize=TEMPLATES_CACHED_MAX)
def _parsed(source: str, html: bool) -> BoundTemplate:
    return (_html if html else _text).from_string(source)


def render(source: str, variables: Mapping[str, Any], *, html: bool = False) -> str:
    """Fill a template in; with `html` the values are escaped, what a person is called included.

    Raises:
        Malformed: `template_error`, the template cannot be parsed or misses a value. The
            message names the kind of error and what is missing, never a value.
    """
    if "{" not in source:
        return source
    try:
        return _parsed(source, html).render(variables)
    except _DATA_ERRORS as error:
        raise Malformed("template_error", _explain(error)) from error


def _explain(error: BaseException) -> str:
    # Liquid's text may quote a value; that of an undefined name quotes the template alone.
    if isinstance(error, UndefinedError):
        return str(error).partition("\n")[0]
    return type(error).__name__
