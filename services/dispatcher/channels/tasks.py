"""Handoffs: a task in the table, and the endpoint's webhook told of it."""

from services.contracts.errors import Transient
from services.dispatcher.channels.port import Accepted, Channel, Delayed, Message, Outcome, Refused
from services.dispatcher.tasks import Task, TaskStore


class TaskChannel:
    """Makes tasks and tells nobody. Idempotent: a task has the id of its send."""

    idempotent = True

    def __init__(self, tasks: TaskStore) -> None:
        self._tasks = tasks

    async def send(self, message: Message) -> Outcome:
        """Accepted once the task stands in the table; anything but a handoff is refused."""
        if message.kind != "handoff":
            return Refused(reason=f"no {message.kind} goes into the table of tasks")
        task = Task(
            task_id=message.send_id,
            person=message.person,
            trigger=message.trigger,
            team=str(message.request.get("to", "service")),
            title=message.subject,
            body=message.body,
            created_at=message.decided_at,
        )
        try:
            await self._tasks.put(task)
        except Transient as error:
            return Delayed(reason=str(error))
        return Accepted()

    async def close(self) -> None:
        """Nothing to close: the database is the process's own."""


class HandoffChannel:
    """A webhook whose handoffs stand in the table of tasks too, before it is told of them."""

    def __init__(self, webhook: Channel, tasks: TaskStore) -> None:
        self._webhook = webhook
        self._table = TaskChannel(tasks)

    @property
    def idempotent(self) -> bool:
        """As the webhook is."""
        return self._webhook.idempotent

    async def send(self, message: Message) -> Outcome:
        """The webhook's outcome; without a task in the table it is not asked."""
        if message.kind == "handoff":
            made = await self._table.send(message)
            if not isinstance(made, Accepted):
                return made
        return await self._webhook.send(message)

    async def close(self) -> None:
        """Close the webhook's connections."""
        await self._webhook.close()
