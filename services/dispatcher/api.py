"""HTTP of the dispatcher: health, metrics, and what became of a send."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict

from services.contracts.conditions import ID_PATTERN
from services.contracts.event import PERSON_CHARS_MAX
from services.dispatcher.ledger_reads import ENTRIES_MAX, Entry, LedgerReader
from services.runtime.bearer import BearerTokens, require_token
from services.runtime.health import Health, health_routes
from services.runtime.metrics import Metrics
from services.runtime.problems import install_problems


class Send(BaseModel):
    """One entry of the ledger. Instants are microseconds since the epoch."""

    model_config = ConfigDict(from_attributes=True)

    send_id: UUID
    person: str
    trigger: str
    channel: str
    state: str
    attempts: int
    reason: str | None
    provider_id: str | None
    decided_at: int
    read_at: int
    next_attempt_at: int | None
    finished_at: int | None
    reported_at: int | None


class Sends(BaseModel):
    """A person's sends, the latest decision first."""

    sends: list[Send]


class Outcomes(BaseModel):
    """Sends by the state they ended in."""

    outcomes: dict[str, int]


router: Final = APIRouter(prefix="/v1/sends", dependencies=[Depends(require_token)])


def _reader(request: Request) -> LedgerReader:
    reader: LedgerReader = request.app.state.reader
    return reader


Reader = Annotated[LedgerReader, Depends(_reader)]


@router.get("/outcomes")
async def outcomes(
    reader: Reader,
    trigger: Annotated[str, Query(pattern=ID_PATTERN)],
    since: Annotated[int, Query(ge=0, le=2**62, description="microseconds; read since then")],
) -> Outcomes:
    """What became of a trigger's sends: those under way are not among them."""
    return Outcomes(outcomes=await reader.outcomes(trigger, since))


@router.get("/{send_id}")
async def one_send(send_id: UUID, reader: Reader) -> Send:
    """What became of one send command."""
    entry: Entry | None = await reader.find(send_id)
    if entry is None:
        raise HTTPException(404, "no such send")
    return Send.model_validate(entry)


@router.get("")
async def sends_of_person(
    reader: Reader,
    person: Annotated[str, Query(min_length=1, max_length=PERSON_CHARS_MAX)],
    limit: Annotated[int, Query(ge=1, le=ENTRIES_MAX)] = ENTRIES_MAX,
) -> Sends:
    """What was sent to one person, or tried."""
    if "\0" in person:
        return Sends(sends=[])
    entries = await reader.of_person(person, limit)
    return Sends(sends=[Send.model_validate(entry) for entry in entries])


def make_app(
    reader: LedgerReader, *, tokens: BearerTokens, metrics: Metrics, health: Health
) -> FastAPI:
    """The application; its schema is at /openapi.json."""
    app = FastAPI(title="cuestream dispatcher", version="1", docs_url=None, redoc_url=None)
    app.state.reader = reader
    app.state.tokens = tokens
    install_problems(app)
    app.include_router(router)
    app.router.routes.extend(health_routes(metrics, health))
    return app
