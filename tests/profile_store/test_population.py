"""Conformance of the adapters: sizes, selections and histories of stored people."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.conditions import Condition
from services.contracts.errors import Malformed
from services.contracts.profile import Consent, Profile
from services.profile_store.memory import MemoryProfiles
from services.profile_store.population import Known, Overlap, Point, Population, Sizes, remarks
from services.profile_store.population_memory import MemoryPopulation
from services.profile_store.population_postgres import PostgresPopulation
from services.profile_store.postgres import PostgresProfiles
from services.profile_store.profiles import Profiles
from tests.profile_store.examples import HOSTILE_TEXTS, NOON, SECOND, profile

DISCRETE = ("band", "stage")


class Stored:
    """Profiles and what is asked of all of them, over one store."""

    def __init__(self, profiles: Profiles, population: Population) -> None:
        self.profiles = profiles
        self.population = population

    async def put(self, *batch: Profile) -> None:
        await self.profiles.put(batch)

    async def people(self, where: Any) -> list[str]:
        condition = msgspec.convert(where, Condition)
        found = await self.population.select(condition, limit=100, after=None)
        assert len(found) == await self.population.count(condition)
        return [one.person for one in found]

    async def points(self, name: str, kind: Any = "tag", **page: Any) -> list[Point]:
        given: dict[str, Any] = {"limit": 100, "before": None, **page}
        return await self.population.history("ana", kind, name, **given)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.embedded)])
def stored(request: pytest.FixtureRequest) -> Stored:
    """Each adapter in turn."""
    if request.param == "memory":
        profiles = MemoryProfiles(lambda: DISCRETE)
        return Stored(profiles, MemoryPopulation(profiles))
    engine: AsyncEngine = request.getfixturevalue("engine")
    return Stored(PostgresProfiles(engine, lambda: DISCRETE), PostgresPopulation(engine))


def member(person: str, *segments: str, **changes: Any) -> Profile:
    return profile(person, segments=segments, **changes)


async def test_sizes_count_people_and_members_and_nobody_who_was_merged(stored: Stored) -> None:
    await stored.put(
        member("a", "gold", "new"), member("b", "gold"), member("c"),
        member("d", "gold", merged_into="a"),
    )  # fmt: skip
    assert await stored.population.sizes() == Sizes(people=3, segments={"gold": 2, "new": 1})


async def test_an_empty_store_has_nobody(stored: Stored) -> None:
    assert await stored.population.sizes() == Sizes(people=0, segments={})
    assert await stored.population.overlap() == []


async def test_overlap_counts_those_in_both(stored: Stored) -> None:
    await stored.put(member("a", "x", "y"), member("b", "z", "x", "y"), member("c", "x"))
    assert await stored.population.overlap() == [
        Overlap(one="x", other="y", people=2),
        Overlap(one="x", other="z", people=1),
        Overlap(one="y", other="z", people=1),
    ]


async def test_members_come_by_person_in_pages(stored: Stored) -> None:
    await stored.put(*(member(name, "gold") for name in "edcba"), member("f"))
    where = Condition(segment="gold")
    first = await stored.population.select(where, limit=2, after=None)
    second = await stored.population.select(where, limit=9, after=first[-1].person)
    assert [one.person for one in (*first, *second)] == ["a", "b", "c", "d", "e"]


TAGS: dict[str, Any] = {
    "a_int": 5,
    "b_float": 5.0,
    "c_text": "5",
    "d_more": 7.5,
    "e_true": True,
    "f_null": None,
    "g_list": [5, "gold"],
    "h_word": "golden",
}
OTHERS = ["d_more", "e_true", "f_null", "g_list", "h_word", "none"]
CASES: Sequence[tuple[Any, list[str]]] = [
    ({"op": "eq", "value": 5}, ["a_int", "b_float"]),
    ({"op": "eq", "value": "5"}, ["c_text"]),
    ({"op": "eq", "value": True}, ["e_true"]),
    ({"op": "ne", "value": 5}, ["c_text", *OTHERS]),
    ({"op": "in", "value": [5, "golden"]}, ["a_int", "b_float", "h_word"]),
    ({"op": "not_in", "value": [5, "5"]}, OTHERS),
    ({"op": "gt", "value": 5}, ["d_more"]),
    ({"op": "gte", "value": 5}, ["a_int", "b_float", "d_more"]),
    ({"op": "lt", "value": 7.5}, ["a_int", "b_float"]),
    ({"op": "lte", "value": "6"}, ["c_text"]),
    ({"op": "contains", "value": "gold"}, ["g_list", "h_word"]),
    ({"op": "contains", "value": 5}, ["g_list"]),
    ({"op": "starts_with", "value": "gold"}, ["h_word"]),
    ({"op": "exists"}, ["a_int", "b_float", "c_text", "d_more", "e_true", "g_list", "h_word"]),
    ({"op": "not_exists"}, ["f_null", "none"]),
]  # fmt: skip


@pytest.mark.parametrize(("clause", "expected"), CASES)
async def test_a_clause_means_what_it_means_in_the_stream(
    stored: Stored, clause: Any, expected: list[str]
) -> None:
    await stored.put(
        *(profile(name, tags={"tag": value}, traits={}) for name, value in TAGS.items()),
        profile("none", tags={}, traits={}),
    )
    assert await stored.people({"tag": "tag", **clause}) == expected
    others = await stored.people({"not": {"tag": "tag", **clause}})
    assert sorted([*expected, *others]) == sorted([*TAGS, "none"])


async def test_traits_are_asked_for_by_path_the_whole_path_first(stored: Stored) -> None:
    await stored.put(
        profile("deep", traits={"cart": {"total": 5}}),
        profile("flat", traits={"cart.total": 5, "cart": {"total": 9}}),
        profile("list", traits={"cart": [{"total": 5}]}),
        profile("null", traits={"cart.total": None, "cart": {"total": 9}}),
    )
    assert await stored.people({"trait": "cart.total", "op": "eq", "value": 5}) == ["deep", "flat"]
    assert await stored.people({"trait": "cart.total", "op": "gt", "value": 5}) == ["null"]
    assert await stored.people({"trait": "cart.total", "op": "not_exists"}) == ["list"]


async def test_groups_join_clauses(stored: Stored) -> None:
    await stored.put(
        member("a", "gold", tags={"n": 1}), member("b", tags={"n": 1}), member("c", "gold", tags={})
    )
    one, gold = {"tag": "n", "op": "eq", "value": 1}, {"segment": "gold"}
    assert await stored.people({"all": [one, gold]}) == ["a"]
    assert await stored.people({"any": [one, gold]}) == ["a", "b", "c"]
    assert await stored.people({"all": [one, {"not": gold}]}) == ["b"]
    assert await stored.people({"not": {"any": [one, gold]}}) == []


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS)
async def test_hostile_text_is_asked_for_as_it_is(stored: Stored, hostile: str) -> None:
    await stored.put(
        profile("one", traits={"said": hostile, hostile: 1}),
        profile("other", traits={"said": "something"}),
    )
    for op in ("eq", "contains", "starts_with"):
        assert await stored.people({"trait": "said", "op": op, "value": hostile}) == ["one"]
    assert await stored.people({"trait": hostile, "op": "gte", "value": 1}) == ["one"]
    assert await stored.people({"trait": hostile, "op": "eq", "value": 1}) == ["one"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({}, "exactly one"),
        ({"all": []}, "at least one"),
        ({"property": "x", "op": "exists"}, "no event"),
        ({"tag": "x"}, "needs an op"),
        ({"tag": "x", "op": "eq"}, "a value is needed"),
        ({"tag": "x", "op": "in", "value": 1}, "list"),
        ({"tag": "x", "op": "eq", "value": [1]}, "not a list"),
        ({"tag": "x", "op": "gt", "value": True}, "numbers or texts"),
        ({"tag": "x", "op": "starts_with", "value": 1}, "text"),
        ({"segment": "x", "op": "eq", "value": 1}, "stands alone"),
        ({"all": [{"tag": "x", "op": "exists"}] * 51}, "at most 50"),
    ],
)
async def test_what_cannot_be_asked_is_refused(stored: Stored, where: Any, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        await stored.population.count(msgspec.convert(where, Condition))
    assert caught.value.code == "bad_condition"


async def test_a_change_of_a_discrete_tag_is_history_and_its_first_value_is_none(
    stored: Stored,
) -> None:
    await stored.put(profile("ana", tags={"band": "low", "count": 1}))
    await stored.put(profile("ana", as_of=NOON + 1, tags={"band": "low", "count": 2}))
    await stored.put(profile("ana", as_of=NOON + 2, tags={"band": "high", "count": 3}))
    await stored.put(profile("ana", as_of=NOON + 3, tags={"count": 3}))
    await stored.put(profile("ana", as_of=NOON + 4, tags={"band": None, "count": 3}))
    assert await stored.points("band") == [
        Point(at=NOON + 3, value=None),
        Point(at=NOON + 2, value="high"),
    ]
    assert await stored.points("count") == []


async def test_coming_into_a_segment_and_going_out_is_history(stored: Stored) -> None:
    await stored.put(member("ana", "gold"))
    await stored.put(member("ana", "gold", "vip", as_of=NOON + 1))
    await stored.put(member("ana", "vip", as_of=NOON + 2))
    assert await stored.points("vip", "segment") == [Point(at=NOON + 1, value=True)]
    assert await stored.points("gold", "segment") == [Point(at=NOON + 2, value=False)]


async def test_every_answer_to_a_question_of_consent_is_kept_with_its_proof(stored: Stored) -> None:
    yes = Consent(answer=True, at=NOON, event_id="form", wording="Yes")
    no = Consent(answer=False, at=NOON + 5, event_id="link")
    await stored.put(profile("ana", consents={"sms": yes}))
    await stored.put(profile("ana", as_of=NOON + 1, consents={"sms": yes}))
    await stored.put(profile("ana", as_of=NOON + 5, consents={"sms": no}))
    assert await stored.points("sms", "consent") == [
        Point(at=NOON + 5, value={"answer": False, "at": NOON + 5, "event_id": "link"}),
        Point(at=NOON, value={"answer": True, "at": NOON, "event_id": "form", "wording": "Yes"}),
    ]


async def test_an_older_snapshot_is_no_history(stored: Stored) -> None:
    await stored.put(profile("ana", tags={"band": "high"}))
    await stored.put(profile("ana", as_of=NOON - 1, tags={"band": "low"}))
    assert await stored.points("band") == []


async def test_the_same_batch_twice_is_history_once(stored: Stored) -> None:
    await stored.put(profile("ana", tags={"band": "low"}))
    batch = [profile("ana", as_of=NOON + 1, tags={"band": "high"})]
    await stored.put(*batch)
    await stored.put(*batch)
    assert await stored.points("band") == [Point(at=NOON + 1, value="high")]


async def test_who_was_merged_leaves_no_history_of_it(stored: Stored) -> None:
    await stored.put(member("ana", "gold", tags={"band": "low"}))
    await stored.put(member("ana", as_of=NOON + 1, tags={}, merged_into="bea"))
    assert await stored.points("band") == []
    assert await stored.points("gold", "segment") == []


async def test_history_comes_in_pages_and_is_forgotten_from_the_oldest_on(stored: Stored) -> None:
    for number in range(6):
        tags = {"stage": f"s{number}"}
        await stored.put(profile("ana", as_of=NOON + number * SECOND, tags=tags))
    newest = await stored.points("stage", limit=2)
    assert [one.value for one in newest] == ["s5", "s4"]
    older = await stored.points("stage", before=newest[-1].at)
    assert [one.value for one in older] == ["s3", "s2", "s1"]
    assert await stored.population.forget(NOON + 3 * SECOND, 10) == 2
    assert await stored.population.forget(NOON + 3 * SECOND, 10) == 0
    assert [one.value for one in await stored.points("stage")] == ["s5", "s4", "s3"]


def test_small_segments_and_too_many_core_ones_are_remarked() -> None:
    known = [Known(id=f"s{n}", name="", core=True) for n in range(9)]
    sizes = Sizes(people=100, segments={f"s{n}": 4 + n for n in range(9)})
    assert remarks(sizes, known) == [
        ("s0", "too_small", "4.0 % of people: under 5 %"),
        (None, "too_many_core", "9 core segments: past 8"),
    ]
    assert remarks(Sizes(people=0, segments={}), known[:8]) == []


VALUES = [None, 0, 1, 1.0, 2.5, True, False, "", "a", "ab", "1", ["a", 1], []]
SCALARS = [0, 1, 2.5, True, "", "a", "1"]


def some_condition(chance: random.Random, depth: int = 3) -> Any:
    """Any condition over what `some_person` has."""
    if depth and chance.random() < 0.5:
        name = chance.choice(("all", "any", "not"))
        if name == "not":
            return {"not": some_condition(chance, depth - 1)}
        return {name: [some_condition(chance, depth - 1) for _ in range(chance.randint(1, 3))]}
    subject = chance.choice(
        ({"tag": "x"}, {"tag": "y"}, {"trait": "x"}, {"trait": "y.z"}, {"segment": "gold"})
    )
    if "segment" in subject:
        return subject
    op = chance.choice(
        ("eq", "ne", "contains", "in", "not_in", "exists", "not_exists", "gte", "lt")
    )
    if op in ("exists", "not_exists"):
        return {**subject, "op": op}
    if op in ("in", "not_in"):
        return {**subject, "op": op, "value": chance.sample(SCALARS, 2)}
    value = chance.choice([0, 1, 2.5, "", "a", "1"] if op in ("gte", "lt") else SCALARS)
    return {**subject, "op": op, "value": value}


def some_person(chance: random.Random, number: int) -> Profile:
    """Tags and traits of any kind, now and then missing."""
    traits = {"x": chance.choice(VALUES), "y": {"z": chance.choice(VALUES)}}
    if chance.random() < 0.2:
        traits["y.z"] = chance.choice(VALUES)
    return profile(
        f"p{number}",
        tags={name: chance.choice(VALUES) for name in "xy" if chance.random() < 0.8},
        traits=traits,
        segments=("gold",) if chance.random() < 0.5 else (),
    )


@pytest.mark.embedded
async def test_postgres_selects_whom_the_fake_does(engine: AsyncEngine) -> None:
    chance = random.Random(20_260_610)
    people = [some_person(chance, number) for number in range(60)]
    fake = MemoryProfiles()
    for store in (fake, PostgresProfiles(engine)):
        await store.put(people)
    here, there = MemoryPopulation(fake), PostgresPopulation(engine)
    for _ in range(300):
        where = msgspec.convert(some_condition(chance), Condition)
        expected = await here.select(where, limit=100, after=None)
        found = await there.select(where, limit=100, after=None)
        assert [one.person for one in found] == [one.person for one in expected], where
