"""Definitions compiled once for a revision: what an event of each name has to touch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.contracts.conditions import Condition
from services.contracts.definitions import Bundle, Trigger, ValueTiers
from services.contracts.entries import Entry
from services.contracts.errors import DefinitionError
from services.contracts.time import parse_duration
from services.triggers.engine.absence import AbsenceSensor
from services.triggers.engine.caps import Cap, compile_cap
from services.triggers.engine.check import check
from services.triggers.engine.concerned import Concerned, Parts, compile_concerned
from services.triggers.engine.conditions import ReadTag, Test, compile_test
from services.triggers.engine.dates import DateSensor
from services.triggers.engine.derived import Made
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.groups import Groups, compile_groups, stage_readings, with_segments
from services.triggers.engine.hearing import Hear
from services.triggers.engine.inactivity import InactivitySensor
from services.triggers.engine.program import Program, awaited_events, compile_program
from services.triggers.engine.quality import Quality, compile_quality
from services.triggers.engine.reactions import React
from services.triggers.engine.readings import Reading
from services.triggers.engine.schedule import ScheduleSensor
from services.triggers.engine.sensors import Make, Making, Sensor, Waits, WayOut
from services.triggers.engine.sequence import SequenceSensor
from services.triggers.engine.showing import Shown, compile_shown
from services.triggers.engine.state import Open, Run, TagData
from services.triggers.engine.still import only_time_opens
from services.triggers.engine.tagging import CompiledTags, compile_tags, moments_of
from services.triggers.engine.tags import Merge, Read
from services.triggers.engine.waits import Match, compile_match
from services.triggers.engine.watch import WatchSensor, crossings, tag_change, threshold
from services.triggers.engine.windows import Calendar, calendar_of

PAUSED: Final = "paused"
DECIDED_STATUSES: Final = frozenset({"live", PAUSED})


class Rule(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One version of a trigger, compiled; durations in microseconds. Its status is today's."""

    trigger: Trigger
    program: Program
    way_out: Match | None
    audience: Condition | None
    audience_holds: Test | None
    dedup_window: int
    cooldown: int | None
    arbitration_window: int | None
    expires_after: int
    send_within: int


class Versions:
    """The rules of the triggers in force, by version.

    Those of earlier versions are compiled when somebody who entered under one is there: that
    changes no answer. What cannot be right any more (a tag is gone) is as good as gone.
    """

    def __init__(
        self,
        current: Mapping[str, Rule],
        pinned: Iterable[Trigger],
        compiled: Callable[[Trigger], Rule | None],
    ) -> None:
        self._current = current
        self._pinned = {(one.id, one.version): one for one in pinned}
        self._compiled = compiled
        self._known: dict[tuple[str, int], Rule | None] = {}

    def of(self, run: Run) -> Rule | None:
        """The rule that a run goes by, None where it is not to be had any more."""
        rule = self._current.get(run.trigger)
        if rule is not None and rule.trigger.version != run.trigger_version:
            rule = self._before(run.trigger, run.trigger_version, rule)
        # A trigger that was removed and made again may count its versions from 1 again.
        return rule if rule is not None and rule.program.knows(run.step, run.reason) else None

    def under(self, open_: Open) -> Rule | None:
        """The rule by which something was asked of the dispatcher, None where it is gone."""
        rule = self._current.get(open_.trigger)
        if rule is not None and rule.trigger.version != open_.trigger_version:
            rule = self._before(open_.trigger, open_.trigger_version, rule)
        return rule if rule is not None and open_.step < rule.program.end else None

    def _before(self, trigger: str, version: int, current: Rule) -> Rule | None:
        key = trigger, version
        if key not in self._known:
            self._known[key] = self._earlier(key, current.trigger.status)
        return self._known[key]

    def _earlier(self, key: tuple[str, int], status: Any) -> Rule | None:
        trigger = self._pinned.get(key)
        if trigger is None:
            return None
        return self._compiled(msgspec.structs.replace(trigger, status=status))


class Rules(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All definitions of one revision, compiled. Made by `compile_rules` only."""

    revision: int
    workspace: str
    zone: str
    calendar: Calendar
    late_after: int
    message_id_window: int
    message_ids_max: int
    opt_in: bool
    value_tiers: ValueTiers | None
    test_people: frozenset[str]
    stopped: bool
    stopped_channels: frozenset[str]
    quality: Quality
    reactions: dict[str, React]
    tags: dict[int, tuple[str, Read, bool]]
    estimates: dict[int, Callable[[TagData], bool]]
    merge_tag: dict[int, Merge]
    read_tag: dict[str, ReadTag]
    readings: dict[str, Reading]
    derived: tuple[tuple[str, Made], ...]
    """Each behind what it is made of."""
    shown: Shown | None
    tags_empty: dict[str, Any]
    triggers: dict[str, Rule]
    versions: Versions
    sensors: dict[int, tuple[Rule, Sensor]]
    hearing: dict[str, Hear]
    awaited: frozenset[str]
    """The events that exits, waiting runs or groups listen to."""
    concerned: dict[str, Concerned]
    """All of these by the event's name, for one look-up; none of a name that concerns none."""
    for_everyone: tuple[int, ...]
    for_blank: tuple[int, ...]
    still: frozenset[int]
    """The sensors that nothing but time concerns."""
    watching: frozenset[int]
    """The sensors that follow tags, and so look before an event changes them."""
    minding: tuple[int, ...]
    """Of those, the ones that follow what is made of traits."""
    exits: dict[str, tuple[WayOut, ...]]
    groups: Groups | None
    statuses: dict[str, str]
    caps: tuple[Cap, ...]


def _compile_trigger(
    trigger: Trigger, caps: Sequence[Cap], readers: dict[str, ReadTag], bundle: Bundle
) -> Rule:
    cooldown, arbitration = trigger.reentry.cooldown, trigger.arbitration_window
    templates = {one.id: one for one in bundle.templates}
    quiet_hours = bundle.workspace.quiet_hours
    return Rule(
        trigger=trigger,
        program=compile_program(trigger, caps, quiet_hours, readers, templates),
        way_out=None if trigger.exit is None else compile_match(trigger.exit, readers),
        audience=trigger.audience,
        audience_holds=(
            None if trigger.audience is None else compile_test(trigger.audience, readers)
        ),
        dedup_window=parse_duration(trigger.dedup.window),
        cooldown=None if cooldown is None else parse_duration(cooldown),
        arbitration_window=None if arbitration is None else parse_duration(arbitration),
        expires_after=parse_duration(trigger.when_capped.expires_after),
        send_within=parse_duration(trigger.send_within),
    )


_SENSORS: Final[dict[str, Make]] = {
    "absence": AbsenceSensor,
    "date": DateSensor,
    "inactivity": InactivitySensor,
    "schedule": ScheduleSensor,
    "sequence": SequenceSensor,
    "tag_change": tag_change,
    "threshold": threshold,
}
"""How the entries that no single event decides are compiled; `check` knows the same."""


def entry_kind(entry: Entry) -> str | None:
    """The name of the field that a checked entry gives, None for plain events."""
    return next((name for name in _SENSORS if getattr(entry, name) is not None), None)


def _compile_sensors(
    rules: Sequence[Rule],
    readings: dict[str, Reading],
    readers: dict[str, ReadTag],
    calendar: Calendar,
    late_after: int,
) -> dict[int, tuple[Rule, Sensor]]:
    sensors: dict[int, tuple[Rule, Sensor]] = {}
    for rule in rules:
        trigger = rule.trigger
        kind = entry_kind(trigger.entry)
        if kind is not None:
            # Change what it waits for, and what it remembers of a person goes.
            text = msgspec.json.encode(trigger.entry).decode()
            exit_key = () if trigger.exit is None else trigger.exit.key
            making = Making(
                trigger=trigger,
                read_tag=readers,
                readings=readings,
                calendar=calendar,
                late_after=late_after,
            )
            basis = _basis(trigger.entry, making)
            key = fingerprint_parts(["entry", trigger.id, text, *exit_key, *basis])
            sensors[key] = rule, _SENSORS[kind](making)
    return sensors


def _basis(entry: Entry, making: Making) -> list[str]:
    """What an entry speaks of without saying it, and means something else once it changes."""
    readings, watched = making.readings, entry.tag_change or entry.threshold
    basis = [] if watched is None else [*readings[watched.tag].inputs.basis]
    if entry.threshold is not None and entry.threshold.share_of is not None:
        basis += readings[entry.threshold.share_of].inputs.basis
    if entry.schedule is not None and entry.schedule.time_zone is None:
        basis.append(making.calendar.zone)
    return basis


def _compile_exits(
    rules: Sequence[Rule], sensors: dict[int, tuple[Rule, Sensor]]
) -> dict[str, tuple[WayOut, ...]]:
    waiting = {
        rule.trigger.id: (key, sensor)
        for key, (rule, sensor) in sensors.items()
        if isinstance(sensor, Waits)
    }
    exits: dict[str, tuple[WayOut, ...]] = {}
    for rule in rules:
        trigger = rule.trigger
        if trigger.exit is None or rule.way_out is None:
            continue
        slot, waits = waiting.get(trigger.id, (None, None))
        way = WayOut(
            trigger=trigger.id,
            match=rule.way_out,
            key=trigger.exit.key,
            slot=slot,
            waits=waits,
        )
        for name in way.match.events:
            exits[name] = (*exits.get(name, ()), way)
    return exits


def _parts(
    rules: Sequence[Rule],
    sensors: Mapping[int, tuple[Rule, Sensor]],
    tags: CompiledTags,
    quality: Quality,
    awaited: frozenset[str],
    readers: dict[str, ReadTag],
    readings: dict[str, Reading],
    calendar: Calendar,
) -> Parts:
    crossing, bits = crossings({key: one for key, (_, one) in sensors.items()})
    entries = [(rule.trigger.entry, rule) for rule in rules]
    return Parts(
        cleaners=quality.cleaners,
        tags=tags.listening,
        entries=[(entry.events, entry.where, rule) for entry, rule in entries],
        sensors=sensors,
        awaited=awaited,
        readers=readers,
        readings=readings,
        moments=moments_of(calendar),
        crossings=crossing,
        bits=bits,
    )


def _awaited(runs: Sequence[Trigger], groups: Groups | None) -> frozenset[str]:
    names = {name for one in runs for name in awaited_events(one)}
    return frozenset(names if groups is None else names.union(groups.hearing))


def compile_rules(bundle: Bundle, *, workspace: str = "default") -> Rules:
    """Compile the definitions of one revision. `workspace` goes into run and send ids.

    Raises:
        DefinitionError: `check` found problems.
    """
    problems = check(bundle)
    if problems:
        raise DefinitionError(problems)
    settings = bundle.workspace
    calendar = calendar_of(settings.time_zone)
    caps = tuple(compile_cap(one) for one in sorted(bundle.policies, key=lambda one: one.id))
    tags = compile_tags(bundle, calendar)
    stages = stage_readings(bundle.lifecycles, tags.readings)
    readings = {**tags.readings, **stages}
    readers = with_segments(readings, bundle.segments)
    reads = {one.key: one.read for _, one in tags.rolling}
    groups = compile_groups(bundle.lifecycles, bundle.segments, readings, reads)
    rules = [
        _compile_trigger(trigger, caps, readers, bundle)
        for trigger in sorted(bundle.triggers, key=lambda one: one.id)
        if trigger.status in DECIDED_STATUSES
    ]
    late_after = parse_duration(settings.late_after)
    sensors = _compile_sensors(rules, readings, readers, calendar, late_after)
    watching = {key: one for key, (_, one) in sensors.items() if isinstance(one, WatchSensor)}
    current = {rule.trigger.id: rule for rule in rules}
    pinned = [one for one in bundle.pinned if one.id in current]

    def compile_pinned(trigger: Trigger) -> Rule | None:
        alone = msgspec.structs.replace(bundle, triggers=(trigger,), policies=(), pinned=())
        return None if check(alone) else _compile_trigger(trigger, caps, readers, bundle)

    runs = [*(rule.trigger for rule in rules), *pinned]
    quality = compile_quality(settings.cleaning, tags.guarded, readers)
    awaited = _awaited(runs, groups)
    reactions, hearing, concerned = compile_concerned(
        _parts(rules, sensors, tags, quality, awaited, readers, readings, calendar)
    )
    return Rules(
        revision=bundle.revision,
        workspace=workspace,
        zone=settings.time_zone,
        calendar=calendar,
        late_after=late_after,
        message_id_window=parse_duration(settings.message_id_window),
        message_ids_max=settings.message_ids_max,
        opt_in=settings.consent == "opt_in",
        value_tiers=settings.value_tiers,
        test_people=frozenset(settings.test_people),
        stopped=settings.stopped,
        stopped_channels=frozenset(settings.stopped_channels),
        quality=quality,
        reactions=reactions,
        tags={one.key: (tag.id, one.read, one.total_stands) for tag, one in tags.rolling},
        estimates={
            one.key: one.approximate for _, one in tags.rolling if one.approximate is not None
        },
        merge_tag={one.key: one.merge for _, one in tags.rolling},
        read_tag=readers,
        readings=readings,
        derived=(*tags.derived, *((id_, Made((), one.read)) for id_, one in stages.items())),
        shown=compile_shown(bundle.tags, readings),
        groups=groups,
        tags_empty={tag.id: one.empty for tag, one in tags.rolling},
        triggers=current,
        versions=Versions(current, pinned, compile_pinned),
        sensors=sensors,
        hearing=hearing,
        awaited=awaited,
        concerned=concerned,
        exits=_compile_exits(rules, sensors),
        for_everyone=tuple(key for key, (_, one) in sensors.items() if one.for_everyone),
        for_blank=tuple(key for key, (_, one) in sensors.items() if one.for_blank),
        minding=tuple(key for key, one in watching.items() if one.minds_traits),
        still=only_time_opens({key: one for key, (_, one) in sensors.items()}) - {*watching},
        watching=frozenset(watching),
        statuses={trigger.id: trigger.status for trigger in bundle.triggers},
        caps=caps,
    )
