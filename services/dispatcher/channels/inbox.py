"""The inbox channel: a message is kept for the app to fetch."""

from typing import Final

from services.contracts.errors import Transient
from services.dispatcher.channels.port import Accepted, Delayed, Message, Outcome
from services.dispatcher.inbox import InboxStore


class InboxChannel:
    """Idempotent: a message has the id of its send. The person is the address."""

    idempotent: Final = True

    def __init__(self, store: InboxStore) -> None:
        self._store = store

    async def send(self, message: Message) -> Outcome:
        """Accepted once it stands in the table."""
        try:
            await self._store.put(
                message_id=message.send_id,
                person=message.person,
                trigger=message.trigger,
                category=message.category,
                title=message.subject,
                body=message.body,
                expires_at=message.expires_at,
            )
        except Transient as error:
            return Delayed(reason=str(error))
        return Accepted()

    async def close(self) -> None:
        """Nothing to close: the database is the process's own."""
