"""What a spool keeps on disk is readable by nobody else, and of nobody who was forgotten."""

from tempfile import TemporaryFile

from services.contracts.event import Event
from services.triggers.backtest.spool import Spool


def test_a_spool_gives_nothing_back_of_who_was_forgotten_and_keeps_nothing_readable() -> None:
    def event(person: str, received_at: int) -> Event:
        return Event(
            person=person, type="track", name="e", message_id=str(received_at),
            occurred_at=1, received_at=received_at, properties={"phone": "+8613800138000"},
        )  # fmt: skip

    with TemporaryFile() as file:
        spool = Spool(file)
        for person in ("ann", "bob"):
            for received_at in (10, 20, 30):
                spool.add(1, event(person, received_at))
        spool.forget("ann", 20)
        spool.forget("ann", 5)
        spool.close()
        left = [(one.person, one.received_at) for _, one in spool.read()]
        assert left == [("ann", 30), ("bob", 10), ("bob", 20), ("bob", 30)]
        file.seek(0)
        assert b"13800138000" not in file.read()
