"""Records that move time, rules, merged and erased people through the log.

A merge takes two hops, then one for each record that still comes under the old id: the one
who takes in asks (`Ask`), the other answers with everything known (`Answer`), and is from
then on nothing but a forwarding address (`Forward`).
"""

from typing import Final, Literal

import msgspec

from services.contracts.time import Micros


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """Time has come to `at` in this partition, though nothing else may have happened."""

    v: int = 1
    at: Micros


class Marker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From this record's offset on, definitions of `revision` are in force in this partition.

    One of a revision that is in force already changes nothing, unless it asks for `everyone`:
    then each person is woken once, and their state is written anew.
    """

    v: int = 1
    revision: int
    at: Micros
    everyone: bool = False


class Erase(msgspec.Struct, frozen=True, kw_only=True):
    """Forget all of `person` that came before this record; `request` names who asked, and when.

    It is in their own log like everything else: what comes later is of somebody new.
    """

    v: int = 1
    person: str
    request: str
    at: Micros


HOPS_MAX: Final = 16
"""Addresses that a record is forwarded by; one that needs more is a dead letter."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """To `person`: you are `by`, who asks at `at` for everything known of you.

    `source` asks again in the name of `by`, whom they have taken in since; None: it is `by`.
    `position` is the place in the log of the one who asks, -1 where it is not known.
    """

    v: int = 1
    person: str
    by: str
    at: Micros
    source: str | None = None
    position: int = -1


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """To `person`, who asked: `source` is handed over with its `state`, as the engine encodes it.

    None: it is somebody else, or stays itself. `position` is the place in the source's log;
    what it forwards later bears later ones.
    """

    v: int = 1
    person: str
    source: str
    at: Micros
    position: int
    state: bytes | None = None


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """To `person`: this came for `source`, at `position` of the log there, received at `at`.

    `body` is the record as its `kind` encodes it: an event by `encode_event`, a delivery by
    `encode_json`, an answer by `encode_hop`; it names whom it was meant for at first. `path`
    are the people it was forwarded by, oldest first, each once.
    """

    v: int = 1
    person: str
    source: str
    at: Micros
    position: int
    kind: Literal["event", "delivery", "answer"]
    body: bytes
    path: tuple[str, ...] = ()
