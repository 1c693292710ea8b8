"""What the OpenAPI document says of the calls; docs/ingest.md says it at length."""

from typing import Any, Final

from services.contracts.event import (
    ALIAS,
    EVENT_BYTES_MAX,
    EVENT_NAME_CHARS_MAX,
    EVENT_TYPES,
    GROUP,
    IDENTIFY,
    PAGE,
    PERSON_CHARS_MAX,
    SCREEN,
    TRACK,
)

DESCRIPTION: Final = (
    "Behaviour events by Segment's HTTP specification. An answer of 200 says that Kafka has "
    "acknowledged every accepted event. The write key is the user name of Basic "
    "authentication, or `writeKey` in the body."
)

SECURITY_SCHEMES: Final = {
    "writeKey": {"type": "http", "scheme": "basic", "description": "write key, no password"}
}
SUMMARIES: Final = {
    None: "Several messages of any type",
    TRACK: "Something a person did",
    IDENTIFY: "Who a person is",
    PAGE: "A page a person saw",
    SCREEN: "A screen of the app a person saw",
    GROUP: "The group a person belongs to",
    ALIAS: "Two ids of one person",
}

_ID: Final = {"type": ["string", "number", "null"], "maxLength": PERSON_CHARS_MAX}
_OBJECT: Final = {"type": ["object", "null"], "additionalProperties": True}
_INSTANT: Final = {
    "type": ["string", "null"],
    "format": "date-time",
    "description": "ISO 8601; without a zone it is UTC. Years 1970 to 2199.",
}
_ERROR: Final = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}
_REFUSED: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "code", "message"],
        "properties": {
            "index": {"type": "integer"},
            "messageId": {"type": "string"},
            "code": {"type": "string"},
            "message": {"type": "string"},
        },
    },
}
_VERDICT: Final = {
    "type": "object",
    "required": ["success", "accepted", "refused"],
    "properties": {
        "success": {"const": True},
        "accepted": {"type": "integer"},
        "refused": _REFUSED,
    },
}
_ALL_REFUSED: Final = {
    **_ERROR,
    "properties": {
        **_ERROR["properties"],  # type: ignore[dict-item]
        "success": {"type": "boolean"},
        "accepted": {"type": "integer"},
        "refused": _REFUSED,
    },
}
_RETRY_AFTER: Final = {
    "Retry-After": {"schema": {"type": "integer"}, "description": "seconds to wait"}
}


def _message(kind: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "type": {"enum": sorted(EVENT_TYPES) if kind is None else [kind]},
        "messageId": _ID,
        "userId": _ID,
        "anonymousId": _ID,
        "event": {"type": ["string", "null"], "maxLength": EVENT_NAME_CHARS_MAX},
        "name": {"type": ["string", "number", "null"]},
        "category": {"type": ["string", "number", "null"]},
        "properties": _OBJECT,
        "traits": _OBJECT,
        "context": _OBJECT,
        "groupId": _ID,
        "previousId": _ID,
        "timestamp": _INSTANT,
        "originalTimestamp": _INSTANT,
        "sentAt": _INSTANT,
    }
    needed = {None: ["type"], TRACK: ["event"], GROUP: ["groupId"], ALIAS: ["previousId"]}
    required = needed.get(kind, [])
    return {
        "type": "object",
        "description": f"At most {EVENT_BYTES_MAX} bytes; userId or anonymousId is needed.",
        "required": required,
        "anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}],
        "properties": properties,
    }


def _batch() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": _message(None)},
            "sentAt": _INSTANT,
            "context": _OBJECT,
            "writeKey": {"type": "string"},
        },
    }


def _json(description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}, **more}


def operation(kind: str | None) -> dict[str, Any]:
    """The operation of a path whose messages have this type; None is the batch."""
    schema = _batch() if kind is None else _message(kind)
    content = {media: {"schema": schema} for media in ("application/json", "text/plain")}
    return {
        "security": [{"writeKey": []}, {}],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _json("Kafka has acknowledged every accepted event", _VERDICT),
            "400": _json("Final: nothing was accepted", _ALL_REFUSED),
            "401": _json("Final: no write key, or an unknown one", _ERROR),
            "408": _json("The body did not arrive in time", _ERROR),
            "413": _json("Final: too many bytes or messages", _ERROR),
            "415": _json("Final: the Content-Encoding is not gzip", _ERROR),
            "429": _json("The write key exceeds its rate", _ERROR, headers=_RETRY_AFTER),
            "503": _json("Not acknowledged: send it again", _ERROR, headers=_RETRY_AFTER),
        },
    }
