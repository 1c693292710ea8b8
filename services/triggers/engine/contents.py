"""What a send says: its own words, or a template's with what stands in where a value is missing."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from services.contracts.command import Content
from services.contracts.conditions import Scalar
from services.contracts.steps import Send
from services.contracts.templates import Template, Variable
from services.triggers.engine.clauses import lookup

Source = Literal["tag", "trait", "property"]


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A variable of a template: where its value stands, and what stands in for it."""

    name: str
    source: Source
    path: str
    fallback: Scalar
    required: bool


def source_of(variable: Variable) -> tuple[Source, str] | None:
    """Where a variable's value comes from, None where it does not say that exactly once."""
    given: list[tuple[Source, str | None]] = [
        ("tag", variable.tag),
        ("trait", variable.trait),
        ("property", variable.property),
    ]
    found = [(source, path) for source, path in given if path is not None]
    return found[0] if len(found) == 1 else None


def gaps_of(template: Template) -> tuple[Gap, ...]:
    """The variables of a checked template."""
    gaps = []
    for name, variable in template.variables.items():
        source = source_of(variable)
        assert source is not None
        gaps.append(
            Gap(
                name=name,
                source=source[0],
                path=source[1],
                fallback=variable.fallback,
                required=variable.required,
            )
        )
    return tuple(gaps)


def content_of(send: Send, template: Template | None) -> Content:
    """What is sent before any gap is filled: the send's own words go before the template's."""
    if template is None:
        return send.content
    own, shared = send.content, template.content
    return Content(
        subject=own.subject or shared.subject,
        body=own.body or shared.body,
        html=own.html or shared.html,
    )


def fill(gaps: Sequence[Gap], subjects: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each gap; a required one of which nothing is known is left out.

    `subjects` are the variables of every send: `event`, `person` and `tags`.
    """
    found: dict[str, Any] = {}
    for gap in gaps:
        if gap.source == "tag":
            value = subjects["tags"].get(gap.path)
        else:
            value = lookup(subjects["event" if gap.source == "property" else "person"], gap.path)
        if value is None:
            value = gap.fallback
        if value is not None or not gap.required:
            found[gap.name] = value
    return found
