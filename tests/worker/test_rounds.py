"""Rounds: rules that concern everyone reach the people to whom nothing happens."""

import pytest

from services.contracts.codec import encode_json
from services.contracts.control import Marker
from services.contracts.time import SECOND
from services.contracts.topics import KIND_MARKER
from services.triggers.engine import Rules, compile_rules
from services.triggers.worker import rounds, waking
from services.triggers.worker.engine_port import triggers_engine
from services.triggers.worker.reading import META_KEY, decode_meta
from services.triggers.worker.rounds import ROUND_SECONDS
from services.triggers.worker.values import InForce
from tests.engine.build import bundle, trigger
from tests.worker.driver import Log, Partition, people
from tests.worker.standin import StandInRules

MANY = people(240)
NOBODY: frozenset[int] = frozenset()


def known(log: Log, partition: Partition, persons: list[str] = MANY) -> None:
    """These people exist, and nothing more happens to them."""
    log.pack(*((person, "note") for person in persons))
    partition.take(log.rows[partition.committed :])


def tick(log: Log, partition: Partition, seconds: int = 1) -> list[str]:
    """Ticks, one a second; gives the people who were woken, in order."""
    before = len(partition.commands)
    for _ in range(seconds):
        log.tick()
    partition.take(log.rows[partition.committed :])
    return [command.person for command in partition.commands[before:]]


def test_everyone_is_woken_once_within_a_minute_of_the_marker() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    woken = [tick(log, partition) for _ in range(ROUND_SECONDS + 1)]
    assert sorted(person for some in woken for person in some) == sorted(MANY)
    assert max(map(len, woken)) < len(MANY) / 10
    assert {state.revision for state in partition.states.values()} == {5}
    assert tick(log, partition, 2 * ROUND_SECONDS) == []
    assert decode_meta(partition.stored[META_KEY]).round_since == -1


def test_rules_that_bring_nothing_new_for_everyone_wake_nobody() -> None:
    log, partition = Log(), Partition()
    for revision in (0, 5, 6):
        partition.answers[revision] = InForce(StandInRules(revision, frozenset({7})))
    known(log, partition)
    log.marker(5)
    assert tick(log, partition, ROUND_SECONDS + 1) == []


def test_a_marker_for_everyone_has_each_state_written_anew_under_the_same_rules() -> None:
    log, partition = Log(), Partition()
    known(log, partition)
    for _ in range(2):  # a restart reads the second time what it knows
        log.raw(encode_json(Marker(revision=0, at=log.now, everyone=True)), kind=KIND_MARKER)
        before, asked = len(partition.flushes), len(partition.asked)
        written: list[str] = []
        for _ in range(ROUND_SECONDS + 1):
            tick(log, partition)
            partition.restart()
        for flush in partition.flushes[before:]:
            written += [key.decode() for key, _ in flush.states if key is not None]
        assert sorted(written) == sorted(MANY)
        assert {one.revision for one in partition.asked[asked:]} <= {0}
    assert tick(log, partition, ROUND_SECONDS) == []


def test_whoever_came_by_meanwhile_is_not_woken_as_well() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    log.event(MANY[0])
    assert sorted(tick(log, partition, ROUND_SECONDS + 1)) == sorted(MANY[1:])


def test_a_restart_in_the_middle_loses_nobody() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    woken: list[str] = []
    for _ in range(ROUND_SECONDS + 1):
        woken += tick(log, partition)
        partition.restart()
    assert sorted(woken) == sorted(MANY)
    partition.restart()
    assert tick(log, partition, ROUND_SECONDS) == []


def test_a_restart_between_marker_and_tick_loses_nobody() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    partition.take(log.rows[partition.committed :])
    partition.restart()
    assert sorted(tick(log, partition, ROUND_SECONDS + 1)) == sorted(MANY)


def test_other_rules_in_the_middle_end_no_round() -> None:
    log, partition = Log(), Partition()
    for revision, concerned in ((0, NOBODY), (5, frozenset({7})), (6, frozenset({7}))):
        partition.answers[revision] = InForce(StandInRules(revision, concerned))
    known(log, partition)
    log.marker(5)
    woken = tick(log, partition, ROUND_SECONDS // 2)
    log.marker(6)
    woken += tick(log, partition, ROUND_SECONDS)
    assert sorted(woken) == sorted(MANY)


def test_a_second_round_takes_over_from_the_first() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    first = tick(log, partition, ROUND_SECONDS // 2)
    log.marker(6)
    second = tick(log, partition, ROUND_SECONDS + 1)
    assert 0 < len(first) < len(MANY)
    assert sorted(second) == sorted(MANY)
    assert {state.revision for state in partition.states.values()} == {6}


def test_a_timer_that_is_due_earlier_still_fires_at_its_time() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition, MANY[:5])
    log.event(MANY[0], "timer", wait=3 * SECOND)
    log.marker(5)
    assert MANY[0] in tick(log, partition, 3)


def test_one_the_engine_fails_on_is_left_alone_and_the_others_go_on() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.event(MANY[3], "late_boom", wait=1000 * SECOND)
    log.marker(5)
    woken = tick(log, partition, 3 * ROUND_SECONDS)
    assert sorted(woken) == sorted(person for person in MANY if person != MANY[3])
    assert [letter.code for letter in partition.letters] == ["engine_error"]


def test_a_failure_later_in_the_batch_takes_nobodys_turn_away() -> None:
    log = Log()
    log.pack(*((person, "note") for person in MANY))
    log.marker(5)
    for _ in range(ROUND_SECONDS // 2):
        log.tick()
    log.pack(*((person, "boom") for person in MANY))
    whole, parts = Partition(everyone=True), Partition(everyone=True)
    whole.take(log.rows)
    for row in log.rows:
        parts.take([row])
    assert whole.states == parts.states
    assert {len(state.notes) for state in whole.states.values()} == {1, 2}


def test_a_tick_from_before_the_marker_that_is_read_again_knows_of_no_round() -> None:
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.tick(log.now + 2 * ROUND_SECONDS * SECOND)
    log.marker(5)
    assert tick(log, partition) == []
    partition.restart()
    partition.take(log.rows)
    assert partition.commands == []
    assert sorted(tick(log, partition, ROUND_SECONDS)) == sorted(MANY)


def test_the_loop_may_turn_while_everyone_is_put_on_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waking, "ARMED_TOGETHER_MAX", 50)
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    before = partition.pauses
    tick(log, partition)
    assert partition.pauses - before >= len(MANY) // 50


def test_a_round_ends_with_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_SPAN", SECOND)
    log, partition = Log(), Partition(everyone=True)
    known(log, partition)
    log.marker(5)
    assert sorted(tick(log, partition, 2)) == sorted(MANY)
    assert partition.fold.meta.round_at is None


def rules(revision: int, *entries: dict[str, object]) -> InForce:
    triggers = [trigger(f"t{number}", entry=entry) for number, entry in enumerate(entries)]
    compiled: Rules = compile_rules(bundle(*triggers, revision=revision))
    return InForce(compiled)


def test_the_engines_schedules_reach_people_to_whom_nothing_happens() -> None:
    log, partition = Log(), Partition(triggers_engine("default"))
    partition.answers[0] = rules(0)
    partition.answers[5] = rules(5, {"schedule": {"cron": "*/2 * * * *"}})
    known(log, partition)
    log.marker(5)
    tick(log, partition, ROUND_SECONDS + 1)
    assert len(partition.fold.timers) == len(MANY)
    partition.restart()
    assert sorted(tick(log, partition, 120)) == sorted(MANY)


def journeys(revision: int, status: str) -> InForce:
    """Half a minute after a note something is sent, unless the trigger is paused."""
    steps = [{"wait": {"for": "30s"}}, {"send": {"channel": "log"}}]
    entry = {"events": ["note"]}
    only = trigger("t", entry=entry, steps=steps, status=status)
    return InForce(compile_rules(bundle(only, revision=revision)))


@pytest.mark.parametrize("restarts", [False, True], ids=["", "over restarts"])
def test_runs_that_a_pause_held_go_on_once_it_is_over(restarts: bool) -> None:
    log, partition = Log(), Partition(triggers_engine("default"))
    for revision, status in ((0, "live"), (5, "paused"), (6, "paused"), (7, "live")):
        partition.answers[revision] = journeys(revision, status)
    known(log, partition)
    log.marker(5)
    assert tick(log, partition, 2 * ROUND_SECONDS) == []
    # Another revision under which it is paused still is no reason to wake anybody.
    log.marker(6)
    tick(log, partition)
    assert decode_meta(partition.stored[META_KEY]).round_since == -1
    log.marker(7)
    woken: list[list[str]] = []
    for _ in range(ROUND_SECONDS + 1):
        woken.append(tick(log, partition))
        if restarts:
            partition.restart()
    assert sorted(person for some in woken for person in some) == sorted(MANY)
    assert max(map(len, woken)) < len(MANY) / 10
    assert tick(log, partition, 2 * ROUND_SECONDS) == []


@pytest.mark.parametrize("status", ["archived", "draft"])
def test_runs_that_a_pause_held_end_with_the_trigger(status: str) -> None:
    log, partition = Log(), Partition(triggers_engine("default"))
    for revision, now in ((0, "live"), (5, "paused"), (6, status), (7, "live")):
        partition.answers[revision] = journeys(revision, now)
    known(log, partition)
    for revision in (5, 6, 7):
        log.marker(revision)
        assert tick(log, partition, ROUND_SECONDS + 1) == []
    log.pack(*((person, "look") for person in MANY))
    assert tick(log, partition) == []
