"""What is wrong with the Liquid of templates, and of what sends and tasks say themselves.

A text may look at what is sure to be known: of an unknown tag, an undeclared name or an event
that there is not it could say nothing, and would fail only when it is to be sent.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from services.contracts.command import Content
from services.contracts.definitions import Bundle, Trigger
from services.contracts.errors import Malformed
from services.contracts.steps import Step
from services.contracts.templates import Template
from services.runtime.templates import Path, paths_of
from services.triggers.engine import check
from services.triggers.engine.check_steps import all_steps
from services.triggers.engine.check_waiting import WITHOUT_EVENT

Judge = Callable[[Path], str | None]
"""Why a text may not look there, None where it may."""

_FIELDS: Final = ("subject", "body", "html")
_SHARED: Final = frozenset({"event", "person", "tags", "unsubscribe_url"})


def check_whole(bundle: Bundle) -> list[tuple[str, str]]:
    """All that is wrong with a bundle, as (place, reason): the engine's checks, then its texts."""
    return [*check(bundle), *check_texts(bundle)]


def check_texts(bundle: Bundle) -> list[tuple[str, str]]:
    """Problems of texts alone: what cannot be read, and names that nothing stands for."""
    tags = frozenset([one.id for one in bundle.tags] + [one.id for one in bundle.lifecycles])
    templates = {one.id: one for one in bundle.templates}
    problems: list[tuple[str, str]] = []
    for template in bundle.templates:
        told = _content_problems(template.content, _of_template(template, tags))
        problems += [(f"templates.{template.id}.content.{name}", reason) for name, reason in told]
    for trigger in bundle.triggers:
        for place, step in all_steps(trigger.steps):
            for name, reason in _step_problems(trigger, step, templates, tags):
                problems.append((f"triggers.{trigger.id}.{place}.{name}", reason))
    return problems


def _step_problems(
    trigger: Trigger, step: Step, templates: Mapping[str, Template], tags: frozenset[str]
) -> Iterator[tuple[str, str]]:
    if step.send is not None:
        template = templates.get(step.send.template or "")
        own = frozenset(template.variables) if template is not None else frozenset[str]()
        for name, reason in _content_problems(step.send.content, _of_send(trigger, tags, own)):
            yield f"send.content.{name}", reason
    elif step.handoff is not None:
        judge = _of_send(trigger, tags, frozenset())
        for name, reason in _content_problems(step.handoff.content, judge):
            yield f"handoff.content.{name}", reason


def _content_problems(content: Content, judge: Judge) -> Iterator[tuple[str, str]]:
    for name in _FIELDS:
        try:
            paths = paths_of(getattr(content, name))
        except Malformed as error:
            yield name, error.message
            continue
        reasons = (judge(path) for path in paths)
        # A name that is not known is often used more than once.
        for reason in dict.fromkeys(one for one in reasons if one is not None):
            yield name, reason


def _of_template(template: Template, tags: frozenset[str]) -> Judge:
    def judge(path: Path) -> str | None:
        root = path[0]
        if root == "tags":
            return _tag_problem(path, tags)
        if root in ("event", "person"):
            return (
                f"{_written(path)}: a template takes of the {root} what its `variables` declare,"
                " by their names"
            )
        if root == "unsubscribe_url" or root in template.variables:
            return None
        return f"unknown variable {root!r}: declare it among `variables`"

    return judge


def _of_send(trigger: Trigger, tags: frozenset[str], own: frozenset[str]) -> Judge:
    kind = next((name for name in WITHOUT_EVENT if getattr(trigger.entry, name) is not None), None)

    def judge(path: Path) -> str | None:
        root = path[0]
        if root == "tags":
            return _tag_problem(path, tags)
        if root == "event" and kind is not None:
            return f"{_written(path)}: no event stands for an entry by {kind}"
        if root in own or root in _SHARED:
            return None
        known = ", ".join(sorted(_SHARED | own))
        return f"unknown variable {root!r}, known are {known}"

    return judge


def _tag_problem(path: Path, tags: frozenset[str]) -> str | None:
    if len(path) == 1:
        return None
    tag = path[1]
    if not isinstance(tag, str):
        return f"{_written(path)}: the tag has to be written down"
    return None if tag in tags else f"unknown tag {tag!r}"


def _written(path: Path) -> str:
    return ".".join("[…]" if part is None else str(part) for part in path)
