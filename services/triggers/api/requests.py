"""Reading requests: bounded bodies, ETags, cursors."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from fastapi import Header, HTTPException, Request

from services.contracts.errors import DefinitionError
from services.triggers.definitions.decoding import decode_value, problem_of, unreadable
from services.triggers.definitions.service import ANY_EDIT

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="the ETag that was read; `*` overwrites anything"),
]
StatusFilter = Literal["draft", "in_review", "live", "paused", "archived"]

STRUCT_BYTES_MAX: Final = 16 * 1024

_ETAG: Final = re.compile(r'"([0-9]{1,18})"')


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        HTTPException: 413, it is longer than `bytes_max`.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise HTTPException(413, f"the body is larger than {bytes_max} bytes")
    return bytes(body)


class WrongBody(DefinitionError):
    """A body that is JSON, and not what this operation takes."""


T = TypeVar("T")


async def read_struct(
    request: Request,
    type_: type[T],
    default: T | None = None,
    *,
    bytes_max: int = STRUCT_BYTES_MAX,
) -> T:
    """The body as a struct, `default` where there is none.

    Raises:
        NotJson, WrongBody: with the place of what is wrong.
        HTTPException: 413, it is too long.
    """
    raw = await read_body(request, bytes_max)
    if not raw and default is not None:
        return default
    value = decode_value(raw)
    problems = unreadable(value, "body")
    if problems:
        raise WrongBody(problems)
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise WrongBody([problem_of("body", str(error))]) from error


def etag(edit: int) -> str:
    """The ETag of a definition with this `edit`."""
    return f'"{edit}"'


def expected_edit(if_match: str | None, *, required: bool) -> int | None:
    """The edit an `If-Match` names; None where none is given and none is required.

    Raises:
        HTTPException: 428, it is required and missing; 412, it names no ETag of ours, so
            that it cannot match.
    """
    if if_match is None:
        if required:
            raise HTTPException(428, "send If-Match with the ETag you read, or * to overwrite")
        return None
    if if_match.strip() == "*":
        return ANY_EDIT
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise HTTPException(412, "If-Match is not an ETag of this API")
    return int(match[1])


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, JSON Merge Patch: null removes, objects merge, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
