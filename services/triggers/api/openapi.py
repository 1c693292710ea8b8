"""The OpenAPI document: schemas straight from the structs that decode the bodies."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.contracts.definitions import Policy, Tag, Trigger, Workspace
from services.contracts.groups import Lifecycle, Segment
from services.contracts.templates import Template
from services.triggers.api import (
    access_resources,
    resources,
    tag_resources,
    template_resources,
    trial_resources,
)
from services.triggers.api.documenting import INSTANT, complete

_REF: Final = "#/components/schemas/{name}"

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "trigger": {
        "id": "big_order",
        "name": "Thanks for a big order",
        "priority": 60,
        "entry": {
            "events": ["Order Completed"],
            "where": {
                "all": [
                    {"property": "revenue", "op": "gte", "value": 100},
                    {"tag": "orders_30d", "op": "gte", "value": 2},
                ]
            },
        },
        "dedup": {"key": ["order_id"], "window": "24h"},
        "reentry": {"mode": "cooldown", "cooldown": "7d"},
        "steps": [
            {
                "send": {
                    "channel": "mail",
                    "to_trait": "email",
                    "content": {
                        "subject": "Thank you",
                        "body": "Order {{ event.order_id }} is packed.",
                    },
                }
            }
        ],
    },
    "tag": {
        "id": "orders_30d",
        "name": "Orders in 30 days",
        "aggregate": "count",
        "events": ["Order Completed"],
        "window": "30d",
    },
    "policy": {
        "id": "mail_weekly",
        "name": "At most 5 mails a week",
        "limit": 5,
        "window": "week",
        "scope": {"kind": "channel", "value": "mail"},
    },
    "segment": {
        "id": "valued",
        "name": "Valued customers",
        "core": True,
        "when": {"tag": "orders_30d", "op": "gte", "value": 5},
    },
    "lifecycle": {
        "id": "lifecycle",
        "name": "Life cycle",
        "initial": "new",
        "states": ["new", "active"],
        "transitions": [
            {
                "from": ["new"],
                "to": "active",
                "when": {"tag": "orders_30d", "op": "gte", "value": 2},
            }
        ],
    },
    "template": {
        "id": "thanks",
        "name": "Thanks for an order",
        "channels": ["mail"],
        "content": {
            "subject": "Thank you, {{ first_name }}",
            "body": "Order {{ order_id }} is packed. It is your number {{ tags.orders_30d }}.",
        },
        "variables": {
            "first_name": {"trait": "first_name", "fallback": "dear customer"},
            "order_id": {"property": "order_id"},
        },
    },
    "workspace": {"id": "default", "name": "Shop", "time_zone": "Asia/Shanghai"},
}

_STRUCTS: Final = (
    Trigger,
    Tag,
    Policy,
    Segment,
    Lifecycle,
    Template,
    Workspace,
    resources.TriggerResource,
    resources.TagResource,
    resources.PolicyResource,
    resources.SegmentResource,
    resources.LifecycleResource,
    resources.TemplateResource,
    resources.WorkspaceResource,
    resources.TriggerPage,
    resources.TagPage,
    resources.PolicyPage,
    resources.SegmentPage,
    resources.LifecyclePage,
    resources.TemplatePage,
    resources.RevisionState,
    resources.ApplyResult,
    resources.Problem,
    *access_resources.STRUCTS,
    *tag_resources.STRUCTS,
    *template_resources.STRUCTS,
    *trial_resources.STRUCTS,
)

PROBLEMS: Final = {
    400: "the body is not JSON",
    401: "no valid bearer token",
    403: "the role, or the review rule, does not allow it",
    404: "there is none",
    409: "its state, or what depends on it, does not allow this",
    412: "somebody else changed it meanwhile",
    413: "the body is too large",
    422: "wrong, with place and reason of each problem",
    428: "If-Match is required",
    503: "the database is away; try again",
}


ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "RevisionState": {
        "revision": 3, "published_at": INSTANT, "pending": 0, "relay_problem": None,
    },
    "ApplyResult": {
        "revision": 4,
        "changes": [
            {
                "kind": "tag",
                "id": "orders_30d",
                "action": "create",
                "version": 1,
                "before": None,
                "after": {**EXAMPLES["tag"], "version": 1},
            }
        ],
        "warnings": [
            {
                "place": "triggers.big_order.steps",
                "reason": "6 steps: past 5 a journey is hard to follow",
            }
        ],
    },
    **tag_resources.EXAMPLES,
    **template_resources.EXAMPLES,
}  # fmt: skip
"""What the document shows of answers whose parts would not speak for themselves."""


def _content(name: str, media: str = "application/json") -> dict[str, Any]:
    return {"content": {media: {"schema": {"$ref": _REF.format(name=name)}}}}


def refusal(what: str) -> dict[str, Any]:
    """A response that is a problem document."""
    return {"description": what, **_content("Problem", "application/problem+json")}


def shown(name: str, status: int = 200, *, etag: bool = False) -> dict[int | str, dict[str, Any]]:
    """Responses of a route that answers with component `name`."""
    success: dict[str, Any] = {"description": "done", **_content(name)}
    if etag:
        success["headers"] = {"ETag": {"schema": {"type": "string"}}}
    refusals: dict[int | str, dict[str, Any]] = {
        code: refusal(what) for code, what in PROBLEMS.items()
    }
    return {status: success, **refusals}


RESPONSES: Final = {
    (kind, status): shown(f"{kind.capitalize()}Resource", status, etag=True)
    for kind in EXAMPLES
    for status in (200, 201)
}


def struct_body(name: str, *, required: bool = True) -> dict[str, Any]:
    """The request body: component `name`."""
    return {"requestBody": {"required": required, **_content(name)}}


def body_of(kind: str | None) -> dict[str, Any]:
    """The request body: one definition, or for None a merge patch of one."""
    if kind is None:
        media: dict[str, Any] = {"schema": {"type": "object"}, "example": {"name": "A new name"}}
        content = {"application/merge-patch+json": media, "application/json": media}
    else:
        schema = {"$ref": _REF.format(name=kind.capitalize())}
        content = {"application/json": {"schema": schema, "example": EXAMPLES[kind]}}
    return {"requestBody": {"required": True, "content": content}}


APPLY_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["definitions"],
                    "additionalProperties": False,
                    "properties": {
                        "dry_run": {"type": "boolean", "default": False},
                        "submit": {
                            "type": "boolean",
                            "default": False,
                            "description": "write drafts and submit them, publish nothing",
                        },
                        "definitions": {
                            "type": "array",
                            "maxItems": 500,
                            "items": {
                                "type": "object",
                                "description": "`kind` and the fields of that definition",
                                "required": ["kind", "id"],
                                "properties": {"kind": {"enum": list(EXAMPLES)}},
                            },
                        },
                    },
                },
                "example": {
                    "definitions": [{"kind": kind, **EXAMPLES[kind]} for kind in ("tag", "trigger")]
                },
            }
        },
    }
}


def _resource(kind: str, example: dict[str, Any]) -> dict[str, Any]:
    """A definition as the API shows it once it is published."""
    return {
        "kind": kind,
        "id": example["id"],
        "status": "live",
        "version": 1,
        "revision": 3,
        "created_at": INSTANT,
        "updated_at": INSTANT,
        "draft": None,
        "published": {**example, "version": 1},
        "review": None,
        "warnings": [],
    }


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` give the document with our components and the bearer scheme."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            components = made.setdefault("components", {})
            _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
            for kind, example in EXAMPLES.items():
                name = kind.capitalize()
                schemas[name]["examples"] = [example]
                schemas[f"{name}Resource"]["examples"] = [_resource(kind, example)]
            for name, example in ANSWERS.items():
                schemas[name]["examples"] = [example]
            components.setdefault("schemas", {}).update(schemas)
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"bearer": []}]
            complete(made, PROBLEMS)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
