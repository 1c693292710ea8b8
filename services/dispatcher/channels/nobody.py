"""The end of commands for a channel or an endpoint that no setting names."""

from typing import Final

from services.dispatcher.channels.port import Message, Outcome, Refused


class NobodyChannel:
    """Refuses everything: its sends fail in the ledger and in the dead letters, by name."""

    idempotent: Final = True

    async def send(self, message: Message) -> Outcome:
        """Refused."""
        return Refused(reason="unknown_channel: no setting names this channel or endpoint")

    async def close(self) -> None:
        """Nothing to close."""
