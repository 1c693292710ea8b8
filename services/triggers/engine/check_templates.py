"""What is wrong with templates, and with sends that name one. Their Liquid is not read here."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Final

from services.contracts.definitions import Trigger
from services.contracts.steps import Send
from services.contracts.templates import Template, Variable
from services.triggers.engine.check_waiting import WITHOUT_EVENT
from services.triggers.engine.contents import source_of
from services.triggers.engine.limits import CONDITION_TEXT_CHARS_MAX

NAMES_OF_EVERY_SEND: Final = frozenset({"event", "person", "tags", "unsubscribe_url"})
_LIQUIDS_OWN: Final = frozenset({"forloop", "tablerowloop"})

Found = Iterator[tuple[str, str]]


def template_problems(template: Template, tags: Mapping[str, object]) -> Found:
    """What is wrong with a template whose shape is right. `tags` has the known ones."""
    content = template.content
    if not (content.subject.strip() or content.body.strip()):
        yield "content", "says nothing: a subject or a body is needed"
    if content.html and template.channels and "mail" not in template.channels:
        yield "content.html", f"channel {template.channels[0]} knows no HTML"
    for name, variable in template.variables.items():
        for place, reason in _variable_problems(name, variable, tags):
            yield f"variables.{name}{place and f'.{place}'}", reason


def _variable_problems(name: str, variable: Variable, tags: Mapping[str, object]) -> Found:
    if name in NAMES_OF_EVERY_SEND | _LIQUIDS_OWN:
        yield "", "this name means something else already"
    source = source_of(variable)
    if source is None:
        yield "", "exactly one of tag, trait, property is needed"
    elif source[0] == "tag" and source[1] not in tags:
        yield "tag", f"unknown tag {source[1]!r}"
    fallback = variable.fallback
    if isinstance(fallback, float) and not isfinite(fallback):
        yield "fallback", "not a finite number"
    if isinstance(fallback, str) and len(fallback) > CONDITION_TEXT_CHARS_MAX:
        yield "fallback", f"longer than {CONDITION_TEXT_CHARS_MAX} characters"


def template_of_send_problems(
    trigger: Trigger, send: Send, templates: Mapping[str, Template]
) -> Found:
    """What is wrong with naming this template, in this trigger."""
    if send.template is None:
        return
    template = templates.get(send.template)
    if template is None:
        yield "template", f"unknown template {send.template!r}"
        return
    if template.channels and send.channel not in template.channels:
        served = ", ".join(template.channels)
        yield "template", f"{template.id!r} serves {served}, not {send.channel}"
    kind = next((name for name in WITHOUT_EVENT if getattr(trigger.entry, name) is not None), None)
    if kind is None:
        return
    for name, variable in template.variables.items():
        if variable.property is not None and variable.fallback is None and variable.required:
            reason = (
                f"its variable {name!r} is a property of the entry's event, and none stands for"
                f" an entry by {kind}: give it a fallback"
            )
            yield "template", reason
