"""Writes what the sensors that listen to events of one name do at one.

The text is over `event` and its properties, `p`; `at`, when it happened, and `now`; `s`, the
state, and its traits, `t`, tags, `g`, and `slots`. `due` is not later than any slot's instant,
`z` at least what all of them take, in bytes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.contracts.time import Micros
from services.triggers.engine.clauses import NUMERIC
from services.triggers.engine.conditions import ReadTag, Writer
from services.triggers.engine.kept import STAMP_BYTES, ZERO
from services.triggers.engine.limits import NEVER
from services.triggers.engine.readings import Reading
from services.triggers.engine.tags import LEAVES_AT, TOTAL


class Ear(Writer):
    """What several sensors ask of one event is had once, before any of them is told.

    Tags hold the event by then, and do not change before all have heard it.
    """

    def __init__(self, readers: Mapping[str, ReadTag], readings: Mapping[str, Reading]) -> None:
        super().__init__(readers)
        self._readings = readings
        self._had: dict[str, str] = {}
        self._late: dict[str, str] = {}
        self._numbers: set[str] = set()
        self._names = 0
        self.before: list[str] = []
        """The statements that have it."""
        self.more = 0
        """How many bytes the statements of one event add to the slots, at most."""

    def once(self, text: str) -> str:
        """The name of what this expression gives."""
        name = self._had.get(text)
        if name is None or name in self._late:
            name = self._had[text] = self._name()
            self.before.append(f"{name} = {text}")
        return name

    def later(self, text: str) -> str:
        """An expression for what this one gives, to be had where it is first asked for."""
        name = self._had.get(text)
        if name is not None:
            return self._late.get(name, name)
        name = self._had[text] = self._name()
        self.before.append(f"{name} = None")
        self._late[name] = f"({name} if {name} is not None else ({name} := {text}))"
        return self._late[name]

    def _name(self) -> str:
        self._names += 1
        return f"h{self._names}"

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is had meanwhile is had by nobody else, in statements of their own."""
        had, late, read, before = self._had, self._late, self._tags_read, self.before
        self._had, self._late, self._tags_read = dict(had), dict(late), dict(read)
        self.before = []
        yield
        self._had, self._late, self._tags_read, self.before = had, late, read, before

    def stamp(self, instant: str = "at", later: Micros = 0) -> str:
        """The name of the stamp of an instant, or of one so much later."""
        return self.once(self._stamp(instant, later))

    def stamp_later(self) -> str:
        """An expression for the stamp of `at`, which is seldom asked for."""
        return self.later(self._stamp("at", 0))

    def _stamp(self, instant: str, later: Micros) -> str:
        return f"({instant} + {self.constant(ZERO + later)}).to_bytes({STAMP_BYTES}, 'big')"

    def adding(self, more: int) -> int:
        """To be asked of each statement that adds so many bytes to the slots, for there to be
        room for all of them."""
        self.more += more
        return more

    def leaves_at(self, key: int) -> str:
        """The name of the instant at which the next bucket of this tag data leaves: `NEVER`
        without any, and none at all (-1) where that has come."""
        data, never = self.once(f"g.get({self.constant(key)})"), self.constant(NEVER)
        return self.once(
            f"{never} if {data} is None "
            f"else {data}[{LEAVES_AT}] if {data}[{LEAVES_AT}] > now else -1"
        )

    def reads(self, tag: str) -> None:
        """Have the value of a tag once; mostly its running total stands."""
        reading = self._readings[tag]
        value = f"{self.constant(reading.read)}(s, now)"
        if reading.total_of is not None:
            leaves_at = self.leaves_at(reading.total_of)
            data = self.once(f"g.get({self.constant(reading.total_of)})")
            value = (
                f"{self.constant(reading.empty)} if {data} is None "
                f"else {data}[{TOTAL}] if {leaves_at} > 0 else {value}"
            )
        self._tags_read[tag] = self.once(value)
        if type(reading.empty) in NUMERIC:
            self._numbers.add(self._tags_read[tag])

    def compared(self, subject: str, op: str, wanted: str) -> str:
        """Whether a number stands so to another."""
        if subject in self._numbers:
            return f"({subject} {op} {wanted})"
        return super().compared(subject, op, wanted)
