"""Before publishing: what is wrong, what would be decided of one person, a message to oneself."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.contracts.conditions import ID_PATTERN
from services.contracts.definitions import Trigger, Workspace
from services.contracts.errors import DefinitionError, Malformed
from services.contracts.event import Event
from services.contracts.masking import masked
from services.contracts.time import Micros
from services.contracts.timestamp import parse_timestamp
from services.triggers.api.access import needs
from services.triggers.api.openapi import shown, struct_body
from services.triggers.api.requests import WrongBody, read_struct
from services.triggers.api.resources import ProblemError, answer
from services.triggers.api.trial_resources import (
    DryRunRequest,
    TestSend,
    TestSendRequest,
    TestSends,
    ValidateRequest,
    Validation,
    dry_run_of,
)
from services.triggers.definitions.checking import Checker
from services.triggers.definitions.decoding import convert_definition, split_kind
from services.triggers.definitions.service import Definitions
from services.triggers.definitions.values import Definition, kind_of, make_bundle, place_of
from services.triggers.engine import PersonState
from services.triggers.trial.bundles import with_drafts
from services.triggers.trial.dry_run import NOBODY, Scene, events_of, stranger, try_out
from services.triggers.trial.masking import masked_answer
from services.triggers.trial.people import Lookup
from services.triggers.trial.trial_sends import Commands, commands_for

BODY_BYTES_MAX: Final = 1024 * 1024
VALIDATE_BYTES_MAX: Final = 8 * 1024 * 1024

Id = Annotated[str, Path(alias="id", pattern=ID_PATTERN)]


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What trials need. `now` gives microseconds; traits named as `sensitive` are masked."""

    definitions: Definitions
    check: Checker
    people: Lookup
    commands: Commands
    workspace: str
    sensitive: frozenset[str]
    now: Callable[[], Micros]


def trial_routes(trials: Trials) -> APIRouter:
    """Validate, dry-run, test-send."""
    router = APIRouter(prefix="/v1", tags=["before publishing"])

    @router.post(
        "/validate", summary="Say what is wrong with definitions, and what is worth a look",
        responses=shown("Validation"), dependencies=[needs("analyst")],
        openapi_extra=struct_body("ValidateRequest"),
    )  # fmt: skip
    async def validate(request: Request) -> Response:
        asked = await read_struct(request, ValidateRequest, bytes_max=VALIDATE_BYTES_MAX)
        return answer(await _validated(trials, asked))

    @router.post(
        "/triggers/{id}/dry-run", summary="Say what would be decided of a person, and sent",
        responses=shown("DryRun"), dependencies=[needs("analyst")],
        openapi_extra=struct_body("DryRunRequest"),
    )  # fmt: skip
    async def dry_run(request: Request, id_: Id) -> Response:
        asked = await read_struct(request, DryRunRequest, bytes_max=BODY_BYTES_MAX)
        return answer(await _dry_run(trials, id_, asked))

    @router.post(
        "/triggers/{id}/test-send", summary="Send a trigger's messages to test people",
        status_code=202, responses=shown("TestSends", 202), dependencies=[needs("operator")],
        openapi_extra=struct_body("TestSendRequest"),
    )  # fmt: skip
    async def test_send(request: Request, id_: Id) -> Response:
        asked = await read_struct(request, TestSendRequest, bytes_max=BODY_BYTES_MAX)
        return answer(await _test_send(trials, id_, asked), 202)

    return router


async def _validated(trials: Trials, asked: ValidateRequest) -> Validation:
    given: list[Definition] = []
    problems: list[tuple[str, str]] = []
    warnings: list[tuple[str, str]] = []
    for index, one in enumerate(asked.definitions):
        try:
            kind, fields = split_kind(one, f"definitions[{index}]")
            given.append(convert_definition(kind, fields, archiving=True))
        except DefinitionError as error:
            problems += error.problems
    if not problems:
        problems = await _problems(trials, given)
        warnings = await trials.definitions.warnings(given)
    return Validation(
        valid=not problems,
        problems=tuple(ProblemError(place=place, reason=why) for place, why in problems),
        warnings=tuple(ProblemError(place=place, reason=why) for place, why in warnings),
    )


async def _problems(trials: Trials, given: list[Definition]) -> list[tuple[str, str]]:
    """What would be wrong with all that is in force, were these put in force too."""
    keys = [(kind_of(one), one.id) for one in given]
    twice = [(place_of(*key), "given twice") for key in sorted({*keys}) if keys.count(key) > 1]
    if twice:
        return twice
    together = {
        (one.kind, one.id): one.published
        for one in await trials.definitions.current()
        if one.in_force and one.published is not None
    }
    for one in given:
        together.pop((kind_of(one), one.id), None)
        if isinstance(one, Trigger):
            if one.status == "archived":
                continue
            one = msgspec.structs.replace(one, status="live")
        together[kind_of(one), one.id] = one
    bundle = make_bundle(await _revision(trials) + 1, list(together.values()))
    return list(trials.check(bundle))


async def _dry_run(trials: Trials, trigger: str, asked: DryRunRequest) -> Any:
    if asked.person is not None and asked.profile is not None:
        raise WrongBody([("body", "person or profile, not both")])
    if asked.event is None and asked.at is None:
        raise WrongBody([("body", "an event, or an instant to look at")])
    bundle = with_drafts(
        await trials.definitions.current(), [trigger], await _revision(trials), trials.check
    )
    scene = await _scene(trials, asked)
    # Whoever is made up has nothing to hide.
    sensitive = frozenset[str]() if asked.person is None else trials.sensitive
    try:
        # The engine is fast, texts are bounded but not short: nobody else shall wait.
        trial = await asyncio.to_thread(
            try_out, trigger, bundle, scene, workspace=trials.workspace, sensitive=sensitive
        )
    except Malformed as error:
        raise WrongBody([("body.event", error.message)]) from error
    return masked_answer(dry_run_of(trial), sensitive, bundle.tags)


async def _scene(trials: Trials, asked: DryRunRequest) -> Scene:
    at = trials.now() if asked.at is None else _moment(asked.at)
    event = None if asked.event is None else _events([asked.event], asked.person, at, "event")[0]
    profile, history = asked.profile, list[Event]()
    if asked.person is not None:
        state = await trials.people.state(asked.person)
    else:
        person = NOBODY if event is None else event.person
        if profile is not None:
            history = _events(list(profile.history), person, at, "profile.history")
        state = stranger(person)
    if event is not None and asked.at is None:
        at = event.received_at
    about = [msgspec.structs.replace(one, person=state.person) for one in (*history, event) if one]
    return Scene(
        state=state,
        at=at,
        event=about[-1] if event is not None else None,
        history=tuple(about[: len(history)]),
        traits={} if profile is None else profile.traits,
    )


def _events(
    messages: list[dict[str, Any]], person: str | None, now: Micros, place: str
) -> list[Event]:
    try:
        return events_of(messages, person, now, place)
    except Malformed as error:
        raise WrongBody([(f"body.{place}", error.message)]) from error


def _moment(text: str) -> Micros:
    try:
        return parse_timestamp(text)
    except Malformed as error:
        raise WrongBody([("body.at", error.message)]) from error


async def _revision(trials: Trials) -> int:
    return (await trials.definitions.revision()).revision


async def _test_send(trials: Trials, trigger: str, asked: TestSendRequest) -> TestSends:
    workspace = (await trials.definitions.get("workspace", trials.workspace)).published
    allowed = workspace.test_people if isinstance(workspace, Workspace) else ()
    strangers = [
        (f"body.people[{number}]", "is no test person of the workspace")
        for number, one in enumerate(asked.people)
        if one not in allowed
    ]
    if strangers:
        raise WrongBody(strangers)
    bundle = with_drafts(
        await trials.definitions.current(), [trigger], await _revision(trials), trials.check
    )
    now = trials.now()
    (event,) = _events([{"event": "Test", **asked.event}], None, now, "event")
    people: list[PersonState] = [
        await trials.people.state(person) for person in dict.fromkeys(asked.people)
    ]
    commands = commands_for(trigger, bundle, people, event, workspace=trials.workspace, now=now)
    await trials.commands.send(commands)
    return TestSends(
        sends=tuple(
            TestSend(
                send_id=one.send_id,
                person=one.person,
                step=one.step,
                channel=one.channel,
                to=one.to and masked(one.to),
            )
            for one in commands
        )
    )
