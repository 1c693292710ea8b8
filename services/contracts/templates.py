"""Templates: contents that many sends share, and what stands in where a value is missing."""

from typing import Annotated

import msgspec
from msgspec import Meta

from services.contracts.command import Content
from services.contracts.conditions import Identifier, Name, Scalar
from services.contracts.steps import Channel


class Variable(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A name that a template may use, and where its value comes from at the decision.

    Exactly one of `tag` (an id), `trait` and `property` (dotted paths; of the entry's event)
    is given. Where the value is missing (absent or null), `fallback` stands in. Without one
    nothing does: a `required` variable then fails the send, any other prints as nothing.
    """

    tag: Identifier | None = None
    trait: Name | None = None
    property: Name | None = None
    fallback: Scalar = None
    required: bool = True


class Template(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What to say, written once for many sends: Liquid over `variables`, `tags` and nothing else.

    Sends name it by `template`. What is sent is the version in force at the decision, also for
    people who were under way before it was published. With `channels` it serves those alone.
    """

    id: Identifier
    name: Name = "unnamed"
    description: str = ""
    version: int = 0
    channels: Annotated[tuple[Channel, ...], Meta(max_length=10)] = ()
    content: Content
    variables: Annotated[dict[Identifier, Variable], Meta(max_length=50)] = {}
