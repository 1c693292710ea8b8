"""What is remembered of one person, and its bytes.

Encoded: 8 bytes, the big-endian `wake_at` (0 where there is none), then msgpack. The same
state gives the same bytes: every container keeps the order in which the log filled it.
"""

from typing import Any, Final

import msgspec

from services.contracts.errors import Malformed
from services.contracts.profile import Consent
from services.contracts.time import Micros
from services.triggers.engine.limits import NEVER
from services.triggers.engine.upgrading import of_version_2
from services.triggers.engine.weighed import Weighed

STATE_VERSION: Final = 3
OLDEST_VERSION: Final = 2
"""Bytes of versions before this one would be read as something else."""
NO_REVISION: Final = -1
"""Of whom follows no rules: a new person, or an address."""
_WAKE_BYTES: Final = 8
_UUID_CHARS: Final = 36


TagData = list[Any]
"""One tag's data, one flat list (a person's tags are many small things to fetch from memory).

`[leaves_at, total, bucket, value, bucket, value, ...]`, buckets ascending: `total` is the
running aggregate of the values, and before `leaves_at` no bucket leaves the window. For
`last`, `distinct` and `top_k` what follows `leaves_at` is described there.
"""

Tags = dict[int, TagData]
"""Tag data under the fingerprints of their definitions."""


Slot = list[Any]
"""What one sensor remembers of a person; see `sensors`."""


class Sent(msgspec.Struct, array_like=True, gc=False):
    """One send: reserved at `at`, committed once `accepted`."""

    at: Micros
    key: int
    trigger: str
    channel: str
    category: str
    accepted: bool = False


def packed_id(id_: str) -> str | bytes:
    """A UUID in its one canonical form as its 16 bytes, any other id as it is."""
    if len(id_) != _UUID_CHARS:
        return id_
    try:
        data = bytes.fromhex(id_.replace("-", ""))
    except ValueError:
        return id_
    return data if id_text(data) == id_ else id_


def id_text(packed: str | bytes) -> str:
    """The id of which `packed_id` made this."""
    if isinstance(packed, str):
        return packed
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Run(msgspec.Struct, array_like=True, gc=False):
    """What a trigger has under way in the person: a send put off, or a journey that waits.

    It is at `step` of `trigger_version`, since `since`, and looked at again at `due_at`.
    `reason` says what for: the outcome that put a send off, or `wait`, `wait_for`, `matched`
    (by the event `matched_by`).
    A send put off is dropped as expired from `expires_at` on; 0 while none is. `properties` are
    the entry event's, as msgpack: untouched until then, and their size known. `entered_as` is
    the person under whose name it entered, empty where that is this one: ids go by it.
    Of what there are many small is kept: the event's id as `packed_id`, `since` as the time
    from the entry (`waits_after`), when its event was received as that to it (`origin_lag`).
    """

    due_at: Micros
    expires_at: Micros
    entered_at: Micros
    trigger: str
    trigger_version: int
    event: Any  # str | bytes, a union that msgspec does not decode
    origin_lag: Micros
    properties: bytes
    reason: str = "cap"
    held_out: bool = False
    step: int = 0
    waits_after: Micros = 0
    entered_as: str = ""
    matched_by: str = ""

    @property
    def event_id(self) -> str:
        """The id of the event by which it entered."""
        return id_text(self.event)

    @property
    def origin_received_at(self) -> Micros:
        """When that event was received."""
        return self.entered_at - self.origin_lag

    @property
    def since(self) -> Micros:
        """The instant from which it waits where it is."""
        return self.entered_at + self.waits_after


class Open(msgspec.Struct, array_like=True, gc=False):
    """Something asked of the dispatcher at `step`, of which it is not known what became.

    `key` is the fingerprint of its send id, `mark` that of the values by which an exit finds
    it. From `until` on nothing of it goes out any more. The rest is as in `Run`.
    """

    key: int
    trigger: str
    trigger_version: int
    step: int
    event: Any  # str | bytes, a union that msgspec does not decode
    until: Micros
    mark: int = 0
    entered_as: str = ""

    @property
    def event_id(self) -> str:
        """The id of the event by which its run entered."""
        return id_text(self.event)


class Asked(msgspec.Struct, array_like=True, gc=False):
    """`person` was asked at `at`, in the name of `by`, for all that is known of them.

    `wanted_at`: they have asked for `by`, too, at that time, and get their answer once they
    have said that they are not to be had. `answered`: the answer came by another way before
    what `by` had asked for was known here; nobody waits for it.
    """

    person: str
    by: str
    at: Micros
    wanted_at: Micros | None = None
    answered: bool = False


class Sending(msgspec.Struct, array_like=True, gc=False):
    """What came of a person's candidates; most people have none, and then no `Sending`.

    `dedup_keys`, `once_keys` (by fingerprint) and `entries` (by trigger) give the instant of
    entry, oldest first. `shadow` are the sends that a holdout kept back. `opens` is what was
    asked for, the oldest first, until it is heard of.
    """

    sends: list[Sent] = []
    runs: list[Run] = []
    dedup_keys: dict[int, Micros] = {}
    once_keys: dict[int, Micros] = {}
    entries: dict[str, Micros] = {}
    accepted: int = 0
    failed: int = 0
    last_message_at: Micros | None = None
    shadow: list[Sent] = []
    opens: list[Open] = []


class Stage(msgspec.Struct, array_like=True, gc=False):
    """Where in a life cycle a person is, since when; `mark` is the life cycle's."""

    label: str | None
    since: Micros
    mark: int


class Membership(msgspec.Struct, array_like=True, gc=False):
    """Whether a person is in each segment (by its key), and the state of each life cycle.

    All of them are looked at again at `due_at`: too early it may be, never too late.
    """

    due_at: Micros = NEVER
    segments: dict[int, bool] = {}
    stages: dict[str, Stage] = {}


_NO_TRAITS: Final[dict[str, Any]] = {}


class PersonState(msgspec.Struct, array_like=True, gc=False):
    """One person. Mutable, and changed in place by the engine only (`applied`: by the shell).

    `applied` is the last position of `events` folded into it, `offset << 16 | index`.
    `wake_at` is the earliest instant at which the person needs attention without an event.
    `traits` is replaced, never changed: what was handed out keeps its own. `slots` are under
    the fingerprints of their entries and take no more than `slots_bytes` (None: not known);
    `next_due` is not later than the earliest instant of theirs. `still` are those that were put
    aside, encoded, and `still_due` is the earliest instant of these.
    `merged_into`: this is only a forwarding address any more, since the ask that was made at
    `handed_at`. `merged` are those who answered or handed on, with the position in their log up
    to which it is folded here (-1 where it came by way of another), the one longest silent
    first; `asking` those who have yet to answer.
    `membership` is None where there are no segments and life cycles, `weighed` where no number
    of theirs was judged. `shown` is what the last snapshot said of derived tags that time
    changes; see `showing`.
    Fields are only ever added at the end, with a default: old bytes stay readable.
    """

    v: int
    person: str
    applied: int = -1
    now: Micros = 0
    wake_at: Micros | None = None
    revision: int = NO_REVISION
    first_seen_at: Micros | None = None
    last_seen_at: Micros | None = None
    emitted_at: Micros = 0
    changed: bool = False
    user_id: str | None = None
    anonymous_id: str | None = None
    zone: str | None = None
    traits: dict[str, Any] = msgspec.field(default_factory=lambda: _NO_TRAITS)
    traits_at: Micros | None = None
    aliases: tuple[str, ...] = ()
    seen_heads: bytearray = msgspec.field(default_factory=bytearray)
    seen: bytearray = msgspec.field(default_factory=bytearray)
    seen_until: Micros = 0
    tags: Tags = {}
    sending: Sending | None = None
    slots: dict[int, Slot] = {}
    next_due: Micros = NEVER
    merged_into: str | None = None
    merged: dict[str, int] = {}
    asking: list[Asked] = []
    handed_at: Micros | None = None
    membership: Membership | None = None
    weighed: Weighed | None = None
    consents: dict[str, Consent] = {}
    slots_bytes: int | None = None
    shown: Slot | None = None
    still: bytes = b""
    still_due: Micros = NEVER


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(PersonState)


def new_state(person: str) -> PersonState:
    """A person of whom nothing is known yet."""
    return PersonState(v=STATE_VERSION, person=person, slots_bytes=0)


def encode_state(state: PersonState) -> bytes:
    """Bytes of a state; equal states give equal bytes."""
    return (state.wake_at or 0).to_bytes(_WAKE_BYTES, "big") + _encode(state)


def decode_state(data: bytes) -> PersonState:
    """The state of these bytes.

    Raises:
        Malformed: `bad_state` (also for bytes of before `OLDEST_VERSION`), or `newer_schema`
            for bytes of a later version of this code.
    """
    try:
        state = _decoder.decode(memoryview(data)[_WAKE_BYTES:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad_state", "not a person's state") from error
    if state.v > STATE_VERSION:
        raise Malformed("newer_schema", f"state has schema version {state.v}")
    if state.v < OLDEST_VERSION:
        raise Malformed("bad_state", f"state has schema version {state.v}, no longer read")
    if state.v < STATE_VERSION:
        _upgrade(state)
    return state


def _upgrade(state: PersonState) -> None:
    state.slots, still = of_version_2(state.slots)
    if still:
        state.still, state.still_due = _encode(still), min(due for (due,) in still.values())
    state.v = STATE_VERSION


class _Head(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a `PersonState`: what follows them is passed over, not decoded."""

    v: int
    person: str
    applied: int = -1


_head_decoder: Final = msgspec.msgpack.Decoder(_Head)


def applied_of(data: bytes) -> int:
    """`applied` of an encoded state; what follows it is passed over."""
    return _head_decoder.decode(memoryview(data)[_WAKE_BYTES:]).applied


def wake_at_of(data: bytes) -> Micros | None:
    """`wake_at` of an encoded state, read without decoding it."""
    return int.from_bytes(data[:_WAKE_BYTES], "big") or None
