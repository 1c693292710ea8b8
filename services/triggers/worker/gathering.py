"""What a stretch of the log holds of each person, gathered before any of it is folded."""

from typing import Any

from services.contracts.errors import Malformed
from services.contracts.time import Micros
from services.contracts.topics import KIND_EVENT, KIND_PACK
from services.triggers.worker.engine_port import Act, Engine
from services.triggers.worker.reading import Record, check_person, read_event, split_pack
from services.triggers.worker.single import read_single

Item = tuple[Record, int | None, Any, Act | None, Micros]
"""Something that happened to a person: its record, index in its pack, the thing itself, what to
call with it, received at. Of an event the last three are known once it is read."""


class Gathered:
    """Items by person, each person's in the order of the log. `count` says how many."""

    def __init__(self, engine: Engine, *, replay: bool) -> None:
        self.people: dict[str, list[Item]] = {}
        self.count = 0
        self._engine = engine
        self._replay = replay

    def take(self) -> dict[str, list[Item]]:
        """Hand over what was gathered."""
        people, self.people, self.count = self.people, {}, 0
        return people

    def add(self, kind: bytes, record: Record) -> None:
        """Take in a record of a kind that concerns people.

        Raises:
            Malformed: it concerns nobody. An event is read when it is folded, and may turn out
                to be malformed then.
        """
        if kind == KIND_EVENT:
            self.people.setdefault(self._under(record), []).append((record, None, None, None, 0))
            self.count += 1
        elif kind == KIND_PACK:
            self._add_pack(record)
        else:
            act, thing, at = read_single(kind, record, self._engine)
            check_person(thing.person, record.key or b"")
            self.people.setdefault(thing.person, []).append((record, None, thing, act, at))
            self.count += 1

    def _under(self, record: Record) -> str:
        """The person under whose key an event stands."""
        try:
            return (record.key or b"").decode()
        except UnicodeDecodeError as error:
            read_event(record, replay=self._replay)
            raise Malformed("wrong_key", "the record's key is no person's id") from error

    def _add_pack(self, record: Record) -> None:
        people, index = self.people, 0
        for person, raw in split_pack(record):
            item = (record, index, raw, None, 0)
            items = people.get(person)
            if items is None:
                people[person] = [item]
            else:
                items.append(item)
            index += 1
        self.count += index
