"""HTTP of tasks: what handoffs left for sales and service to do."""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.contracts.event import PERSON_CHARS_MAX
from services.dispatcher.tasks import TASKS_MAX, TaskStore
from services.runtime.bearer import require_token


class Task(BaseModel):
    """One task. Instants are microseconds since the epoch."""

    model_config = ConfigDict(from_attributes=True)

    task_id: UUID
    person: str
    trigger: str
    team: str
    title: str
    body: str
    created_at: int
    done_at: int | None
    done_by: str | None


class Tasks(BaseModel):
    """The oldest first."""

    tasks: list[Task]


class Finish(BaseModel):
    """Who did it."""

    by: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


router: Final = APIRouter(prefix="/v1/tasks", dependencies=[Depends(require_token)])


def _store(request: Request) -> TaskStore:
    store: TaskStore = request.app.state.tasks
    return store


Store = Annotated[TaskStore, Depends(_store)]


@router.get("")
async def tasks(
    store: Store,
    team: Literal["sales", "service"] | None = None,
    person: Annotated[
        str | None, Query(min_length=1, max_length=PERSON_CHARS_MAX, pattern=r"^[^\x00]*$")
    ] = None,
    done: bool = False,
    limit: Annotated[int, Query(ge=1, le=TASKS_MAX)] = TASKS_MAX,
) -> Tasks:
    """Open tasks, with `done` the finished ones too."""
    found = await store.listed(team=team, person=person, done=done, limit=limit)
    return Tasks(tasks=[Task.model_validate(task) for task in found])


@router.get("/{task_id}")
async def one_task(task_id: UUID, store: Store) -> Task:
    """One task."""
    found = await store.find(task_id)
    if found is None:
        raise HTTPException(404, "no such task")
    return Task.model_validate(found)


@router.post("/{task_id}/done")
async def finish_task(task_id: UUID, finish: Finish, store: Store) -> Task:
    """Mark it as done; a repeat changes nothing."""
    await store.finish(task_id, finish.by)
    return await one_task(task_id, store)


def add_tasks(app: FastAPI, store: TaskStore) -> None:
    """Serve tasks."""
    app.state.tasks = store
    app.include_router(router)
