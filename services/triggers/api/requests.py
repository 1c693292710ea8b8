"""Reading requests: bounded bodies, ETags, cursors."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Header, HTTPException, Request

from services.triggers.definitions.service import ANY_EDIT

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="the ETag that was read; `*` overwrites anything"),
]
StatusFilter = Literal["draft", "live", "paused", "archived"]

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
