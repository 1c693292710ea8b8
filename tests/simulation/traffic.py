"""What a run is given: definitions that change in mid-stream, and people who do things."""

import asyncio
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError

from services.contracts.codec import encode_json, encode_pack
from services.contracts.control import Marker
from services.contracts.decision import Decision
from services.contracts.definitions import (
    AnyDefinition,
    Bundle,
    DefinitionRecord,
    Trigger,
    definition_key,
)
from services.contracts.event import IDENTIFY, TRACK, Event
from services.contracts.time import DAY, HOUR, MINUTE, SECOND, Micros, from_micros
from services.contracts.topics import KIND_HEADER, KIND_MARKER, KIND_PACK
from services.runtime.kafka import partition_of
from services.triggers.definitions.rows import head_record, with_versions
from services.triggers.engine import check
from tests.engine.build import bundle, policy, tag, trigger
from tests.simulation.groups import draw_groups
from tests.simulation.journeys import draw_journey, numbered
from tests.simulation.loop import Process
from tests.simulation.merges import Merges
from tests.simulation.poison import LOOKS_MAX, POISON
from tests.simulation.world import DECISIONS, DEFINITIONS, EVENTS, Line, Row, World

ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
NAMES: Final = ("order", "order", "view", "cart", "login", "quit")
_KEY: Final = ["order_id"]
WAITING: Final[tuple[dict[str, Any], ...]] = (
    {"inactivity": {"events": ["login", "order"], "lasts": "3h"}},
    {
        "absence": {
            "after": {"events": ["cart"]},
            "without": {"events": ["order"]},
            "within": "2h",
            "key": _KEY,
        }
    },
    {
        "sequence": {
            "parts": [{"events": ["view"]}, {"events": ["cart", "order"]}],
            "within": "3h",
            "key": _KEY,
        }
    },
    {"tag_change": {"tag": "orders", "change": "left", "op": "gte", "value": 1}},
    {"threshold": {"tag": "spent", "direction": "up", "bound": 100}},
    {"schedule": {"cron": "0 9,21 * * *", "spread": "10m"}},
    {"date": {"trait": "birthday", "yearly": True}},
)
"""Entries that wait for something, or come by time alone."""
TRAFFIC_SECONDS: Final = 40.0
DUPLICATES_KEPT_MAX: Final = 20
ENDS: Final = ("frees_at", "until", "deferred_until")
EDGES_OF: Final = 8
"""Decisions back."""
AGAIN_WITHIN: Final = 10 * HOUR
"""Well within the time for which message ids are remembered."""


def _trigger(world: World, number: int, *, plain: bool) -> Trigger:
    random = world.random
    fields: dict[str, Any] = {
        "priority": random.choice([10, 50, 95]),
        "category": random.choice(["marketing", "marketing", "transactional"]),
        "entry": {"events": random.choice([["order"], ["view"], ["order", "view"]])},
        "send_within": random.choice(["10m", "3h", "3d"]),
        "status": random.choice(["live"] * 6 + ["paused"]),
    }
    fields["when_capped"] = random.choice(
        [
            {"action": "drop"},
            {"action": "defer", "expires_after": "2h"},
            {"action": "defer", "expires_after": "5d"},
        ]
    )
    if random.random() < 0.3:
        fields["reentry"] = {"mode": "cooldown", "cooldown": random.choice(["30m", "5h"])}
    if number % 2:
        fields["dedup"] = {"key": ["order_id"], "window": random.choice(["30m", "6h", "2d"])}
    if number == 2:
        fields["entry"]["where"] = {"tag": "orders", "op": "gte", "value": 2}
    if plain:
        return trigger(f"t{number}", **fields)
    if number >= 2:
        fields["entry"] = random.choice(WAITING)
    by_event = not {"inactivity", "schedule", "date"} & fields["entry"].keys()
    if random.random() < 0.5:
        fields["exit"] = {"events": ["quit"]}
        if by_event and random.random() < 0.5:
            fields["exit"]["key"] = ["order_id"]
    fields["group"] = random.choice([None, None, "only_one"])
    fields["arbitration_window"] = random.choice([None, None, "10m"])
    fields["in_quiet_hours"] = random.choice(["defer", "drop"])
    fields["holdout"] = random.choice([0, 0, 30])
    fields["rollout"] = random.choice([100, 100, 60])
    one = trigger(f"t{number}", **fields)
    return draw_journey(random, one) if random.random() < 0.6 else one


def _told_anew(world: World, before: list[Trigger], number: int, *, plain: bool) -> Trigger:
    """A trigger at the next revision: another one, the same one, or paused and the like."""
    if not before or plain or world.random.random() < 0.4:
        return _trigger(world, number, plain=plain)
    status = world.random.choice(["live", "live", "paused", "paused", "archived"])
    return msgspec.structs.replace(before[0], status=status)


def _in_force(definition: AnyDefinition) -> AnyDefinition | None:
    """What is published of it: what is archived is taken off the topic."""
    archived = isinstance(definition, Trigger) and definition.status == "archived"
    return None if archived else definition


def draw_bundles(world: World) -> list[Bundle]:
    """The revisions of a run, from 1. Half of the runs know no more than events and caps."""
    random = world.random
    plain, zone = random.random() < 0.5, random.choice(ZONES)
    revisions = random.choice([1, 1, 2, 4])
    workspace: dict[str, Any] = {"time_zone": zone, "message_ids_max": 4096}
    if not plain and random.random() < 0.5:
        workspace["quiet_hours"] = [{"start": "22:00", "end": "08:00"}]
    groups = draw_groups(random) if not plain else ()
    bundles: list[Bundle] = []
    columns: list[list[Trigger]] = []
    for _ in range(revisions):
        before = columns[-1] if columns else []
        columns.append(
            [
                _told_anew(world, before[number : number + 1], number, plain=plain)
                for number in range(random.randint(2, 4))
            ]
        )
    for revision, triggers in enumerate(numbered(columns), 1):
        scopes: list[dict[str, str]] = [
            {},
            {"kind": "category", "value": "marketing"},
            {"kind": "category", "value": "transactional"},
            {"kind": "channel", "value": "log"},
        ]
        policies = [
            policy(
                f"p{number}",
                random.randint(1, 3),
                random.choice(["10m", "1h", "24h", "day", "week"]),
                **random.choice(scopes),
            )
            for number in range(random.randint(1, 3))
        ]
        if revisions > 1:
            # What no cap counts is forgotten: these two keep all that a later one may count.
            policies.append(policy("keep", 200, "14d"))
            policies.append(policy("keep_too", 200, "14d", kind="category", value="transactional"))
        tags = [tag("orders", window=random.choice(["1h", "24h"])), tag("spent", "sum")]
        one = bundle(*triggers, *groups, *policies, *tags, revision=revision, **workspace)
        problems = check(one)
        if problems:
            raise AssertionError(f"the simulation's own definitions are refused: {problems}")
        bundles.append(one)
    return bundles


def bundle_at(bundles: list[Bundle], revision: int) -> Bundle:
    """What a marker of this revision puts in force; 0 is the beginning."""
    return Bundle(revision=0) if revision == 0 else bundles[revision - 1]


class Publisher:
    """Writes definitions to their topic and then a marker into every partition."""

    def __init__(self, world: World, bundles: list[Bundle]) -> None:
        self._world = world
        self._bundles = bundles

    async def run(self) -> None:
        """Publish all revisions, the first at once."""
        random = self._world.random
        for one in self._bundles:
            self._publish(one)
            for partition in random.sample(range(self._world.partitions), self._world.partitions):
                await asyncio.sleep(self._world.delay())
                for _ in range(random.choice([1, 1, 2])):
                    value = encode_json(Marker(revision=one.revision, at=self._world.now))
                    headers = ((KIND_HEADER, KIND_MARKER),)
                    self._world.append(EVENTS, partition, None, value, headers)
            await asyncio.sleep(random.random() * TRAFFIC_SECONDS / len(self._bundles))

    def _publish(self, one: Bundle) -> None:
        before = one.revision - 2
        known = self._bundles[before] if before >= 0 else Bundle(revision=0, policies=())
        definitions: dict[tuple[Any, str], Any] = {}
        versions: dict[str, int] = {}
        for kind, old, new in (
            ("trigger", known.triggers, one.triggers),
            ("tag", known.tags, one.tags),
            ("policy", known.policies, one.policies),
            ("segment", known.segments, one.segments),
            ("lifecycle", known.lifecycles, one.lifecycles),
        ):
            versions.update((gone.id, gone.version + 1) for gone in old)
            versions.update((there.id, there.version) for there in new)
            definitions.update(((kind, gone.id), None) for gone in old)
            definitions.update(((kind, there.id), _in_force(there)) for there in new)
            # What stays as it was is not published again.
            for same in (there for there in new if there in old):
                del definitions[kind, same.id]
        definitions["workspace", "default"] = one.workspace
        if one.revision == 1:
            definitions["policy", "marketing_daily"] = None
        records = [
            DefinitionRecord(
                kind=kind,
                id=id_,
                version=versions.get(id_, 0),
                revision=one.revision,
                definition=None if definition is None else msgspec.to_builtins(definition),
            )
            for (kind, id_), definition in definitions.items()
        ]
        for record in (*with_versions(records), head_record(one.revision)):
            if record.kind == "version" and record.definition is None:
                continue  # a tombstone, which readers pass over
            key = definition_key(record.kind, record.id)
            self._world.append(DEFINITIONS, 0, key, encode_json(record))


class Traffic:
    """People and their events, through an ingest that packs and repeats itself."""

    def __init__(self, world: World) -> None:
        random = world.random
        self._world = world
        self._line = Line(world, Process("ingest"))
        self.people = [f"p{number}" for number in range(random.randint(3, 10))]
        self._merges = Merges(random, list(self.people))
        self.people += self._merges.anonymous
        self._events = random.choice([30, 80, 160])
        self._recent: list[Event] = []
        self._made = 0
        self._over = False

    async def run(self) -> None:
        """Everything that happens in the run; returns when all of it is written."""
        random = self._world.random
        sending: list[asyncio.Task[Any]] = []
        edges = self._world.outside(self._edges())
        while self._made < self._events:
            await asyncio.sleep(random.random() * 2 * TRAFFIC_SECONDS / self._events)
            events = [self._event() for _ in range(random.choice([1, 1, 1, 4, 12]))]
            kind = random.random()
            if kind < 0.05:
                self._write_nonsense()
            elif kind < 0.3:
                sending += [self._world.outside(self._direct(one)) for one in events]
            else:
                sending += [self._world.outside(self._packed(p, events)) for p in self._all()]
        edges.cancel()
        self._over = True
        await asyncio.gather(*sending)

    async def _edges(self) -> None:
        """Have people do something at the very instant at which a refusal ends, or beside it."""
        random, world = self._world.random, self._world
        while True:
            await asyncio.sleep(random.random() * 0.5)
            rows = world.topics[DECISIONS][random.randrange(world.partitions)][-EDGES_OF:]
            ends = [(one, at) for row in rows for one, at in _ends(row) if at > world.now]
            if not ends:
                continue
            decision, at = random.choice(ends)
            world.outside(self._edge(decision, at + random.choice([-1, -1, 0, 1])))

    async def _edge(self, decision: Decision, instant: Micros) -> None:
        random, world = self._world.random, self._world
        await asyncio.sleep(max(0, instant - world.now) / SECOND / world.speed)
        if not self._over:
            event = self._event(decision.person, random.choice(["order", "view"]), instant)
            key = decision.details.get("key", {})
            event = msgspec.structs.replace(event, properties={**event.properties, **key})
            await self._packed(self._partition(decision.person), [event])

    def _all(self) -> range:
        return range(self._world.partitions)

    def _event(
        self, person: str | None = None, name: str | None = None, now: Micros | None = None
    ) -> Event:
        random = self._world.random
        now = self._world.now if now is None else now
        if self._recent and person is None and random.random() < 0.1:
            again = random.choice(self._recent)
            if now - again.received_at < AGAIN_WITHIN:
                return msgspec.structs.replace(again, received_at=now)
        self._made += 1
        occurred_at = now + random.choice([0, 0, 0, 0, -MINUTE, -HOUR, -2 * DAY, MINUTE, HOUR])
        person = person or random.choice(self.people)
        identify = name is None and random.random() < 0.08
        event = Event(
            person=person,
            type=IDENTIFY if identify else TRACK,
            name="$identify" if identify else name or random.choice(NAMES),
            message_id=f"m{self._made}",
            occurred_at=occurred_at,
            received_at=now,
            properties={"order_id": random.randint(1, 4), "amount": random.randint(1, 99)},
            traits=self._traits() if identify else {},
            user_id=person,
        )
        if now == self._world.now:
            event = self._merges.of(event)
        if self._world.chance(self._world.faults.poisoned):
            event.properties[POISON] = random.randint(0, LOOKS_MAX)
        self._recent = [*self._recent[-DUPLICATES_KEPT_MAX:], event]
        return event

    def _traits(self) -> dict[str, Any]:
        random = self._world.random
        day = from_micros(self._world.now + random.choice([0, DAY, 2 * DAY])).date()
        traits: dict[str, Any] = {"name": f"N{self._made}", "birthday": f"1984{day:-%m-%d}"}
        if random.random() < 0.3:
            traits["consent"] = {"marketing": random.random() < 0.5}
        return traits

    async def _packed(self, partition: int, events: list[Event]) -> None:
        mine = [one for one in events if self._partition(one.person) == partition]
        if self._world.random.random() < 0.05:
            mine = events  # somebody does not know whose is whose: those are dead letters
        if mine:
            headers = ((KIND_HEADER, KIND_PACK),)
            await self._until_written(partition, [(None, encode_pack(mine))], headers)

    async def _direct(self, event: Event) -> None:
        """As an app backend that produces by itself."""
        message: dict[str, Any] = {
            "type": event.type,
            "userId": event.user_id,
            "anonymousId": event.anonymous_id,
            "previousId": event.previous_id,
            "messageId": event.message_id,
            "timestamp": from_micros(event.occurred_at).isoformat(),
            "properties": event.properties,
        }
        if event.type == TRACK:
            message["event"] = event.name
        else:
            message["traits"] = event.traits
        record = (event.person.encode(), msgspec.json.encode(message))
        await self._until_written(self._partition(event.person), [record])

    async def _until_written(self, partition: int, records: Any, headers: Any = ()) -> None:
        while True:
            try:
                await self._line.write(EVENTS, partition, records, headers)
            except KafkaError:
                continue  # a sender repeats what nobody confirmed: it may be written twice
            return

    def _write_nonsense(self) -> None:
        random, world = self._world.random, self._world
        value, kind = random.choice(
            [(b"{", None), (b"\xff", KIND_PACK), (b"{}", b"marker/9"), (None, None), (b"[]", b"?")]
        )
        headers = () if kind is None else ((KIND_HEADER, kind),)
        world.append(EVENTS, random.randrange(world.partitions), b"p1", value, headers)

    def _partition(self, person: str) -> int:
        return partition_of(person.encode(), self._world.partitions)


def _ends(row: Row) -> list[tuple[Decision, Micros]]:
    decision = msgspec.json.decode(row.value or b"", type=Decision)
    return [(decision, decision.details[end]) for end in ENDS if end in decision.details]
