"""Conformance of the adapters: what every store of profiles must do."""

import itertools
import random
from typing import Any

import msgspec
import pytest

from services.contracts.errors import Malformed
from services.contracts.profile import Profile
from services.profile_store.profiles import Profiles, TagFilter, TagOp, Written
from tests.profile_store.examples import FULL, HOSTILE_TEXTS, NOON, SECOND, profile


async def people(
    profiles: Profiles, *values: Any, op: TagOp = "eq", tag: str = "tag", **page: Any
) -> list[str]:
    where = TagFilter(tag=tag, op=op, values=values)
    found = await profiles.find(where, **{"limit": 100, "after": None, **page})
    return [one.person for one in found]


async def test_a_profile_comes_back_whole(profiles: Profiles) -> None:
    fields = {field.name for field in msgspec.structs.fields(Profile)} - {"v"}
    default = profile("full")
    untouched = {"as_of", "source_partition", "source_offset", "revision", "person", "user_id"}
    changed = {name for name in fields if getattr(FULL, name) != getattr(default, name)}
    assert changed | untouched | {"first_seen_at", "last_seen_at"} == fields, "FULL lacks a field"
    await profiles.put([FULL, profile("other")])
    assert await profiles.get("full") == FULL


async def test_an_unknown_person_has_no_profile(profiles: Profiles) -> None:
    assert await profiles.get("nobody") is None


async def test_snapshots_in_any_order_leave_the_newest(profiles: Profiles) -> None:
    ages = [(NOON, 10), (NOON, 11), (NOON + SECOND, 4), (NOON + SECOND, 5)]
    for number, order in enumerate(itertools.permutations(ages)):
        person = f"person-{number}"
        for as_of, offset in order:
            await profiles.put([profile(person, as_of=as_of, source_offset=offset)])
        found = await profiles.get(person)
        assert found is not None
        assert (found.as_of, found.source_offset) == (NOON + SECOND, 5)


async def test_within_one_batch_the_newest_counts_wherever_it_stands(profiles: Profiles) -> None:
    snapshots = [profile(source_offset=offset, tags={"tag": offset}) for offset in range(20)]
    random.Random(3).shuffle(snapshots)
    assert await profiles.put(snapshots) == Written(written=1, stale=19)
    found = await profiles.get("ana")
    assert found is not None
    assert found.tags == {"tag": 19}


async def test_later_time_wins_over_a_higher_offset_of_an_older_topic(profiles: Profiles) -> None:
    await profiles.put([profile(source_offset=1_000_000)])
    await profiles.put([profile(as_of=NOON + 1, source_offset=0, tags={"tag": "new"})])
    found = await profiles.get("ana")
    assert found is not None
    assert found.tags == {"tag": "new"}


async def test_the_same_batch_twice_changes_nothing(profiles: Profiles) -> None:
    batch = [profile("a"), profile("b"), FULL]
    assert await profiles.put(batch) == Written(written=3, stale=0)
    assert await profiles.put(batch) == Written(written=0, stale=3)
    assert await profiles.get("full") == FULL


async def test_an_anonymous_id_finds_its_newest_profile(profiles: Profiles) -> None:
    await profiles.put(
        [
            profile("old", anonymous_id="anon", as_of=NOON),
            profile("new", anonymous_id="anon", as_of=NOON + 1),
        ]
    )
    found = await profiles.get("anon")
    assert found is not None
    assert found.person == "new"


async def test_a_person_goes_before_the_same_text_as_anonymous_id(profiles: Profiles) -> None:
    await profiles.put(
        [profile("same", as_of=NOON), profile("other", anonymous_id="same", as_of=NOON + 1)]
    )
    found = await profiles.get("same")
    assert found is not None
    assert found.person == "same"


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS)
async def test_hostile_text_is_kept_without_loss(profiles: Profiles, hostile: str) -> None:
    kept = profile(
        hostile,
        user_id=hostile,
        anonymous_id="anon" + hostile,
        merged_into=hostile + "into",
        traits={hostile: {"list": [hostile]}},
        tags={"tag": hostile, hostile: 1},
        approximate=(hostile,),
    )
    await profiles.put([kept, profile("bystander")])
    assert await profiles.get(hostile) == kept
    assert await profiles.get("anon" + hostile) == kept
    assert await people(profiles, hostile) == [hostile]


async def test_what_cannot_be_stored_is_malformed_and_nothing_of_its_batch_is(
    profiles: Profiles,
) -> None:
    for bad in (
        profile(""),
        profile("x" * 3_000),
        profile("\x00" * 1_500),
        profile(as_of=10**18),
        profile(last_seen_at=-(10**18)),
        profile(source_offset=2**63),
        profile(source_partition=2**31),
        profile(revision=-1),
        profile(messages_failed=2**64),
        profile(last_message_at=10**18),
        profile(merged_into="x" * 3_000),
    ):
        with pytest.raises(Malformed) as caught:
            await profiles.put([profile("good"), bad])
        assert caught.value.code == "unstorable"
        assert await profiles.get("good") is None


TAGGED = {
    "a_int": 5,
    "b_float": 5.0,
    "c_text": "5",
    "d_more": 7.5,
    "e_less": -1,
    "f_true": True,
    "g_null": None,
    "h_list": [5, 9],
    "i_word": "gold",
    "j_huge": 2**70,
}


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("eq", (5,), ["a_int", "b_float"]),
        ("eq", (5.0, "5"), ["a_int", "b_float", "c_text"]),
        ("eq", (True,), ["f_true"]),
        ("eq", (1,), []),
        ("eq", (None,), ["g_null"]),
        ("eq", ("gold",), ["i_word"]),
        ("eq", (2**70,), ["j_huge"]),
        ("gte", (5,), ["a_int", "b_float", "d_more", "j_huge"]),
        ("gte", (7.5,), ["d_more", "j_huge"]),
        ("lte", (5,), ["a_int", "b_float", "e_less"]),
        ("lte", (-1.5,), []),
        ("gte", (1e300,), []),
    ],
)
async def test_profiles_are_found_by_the_value_of_a_tag(
    profiles: Profiles, op: TagOp, values: tuple[Any, ...], expected: list[str]
) -> None:
    stored = [profile(person, tags={"tag": value, "x": 5}) for person, value in TAGGED.items()]
    await profiles.put([*stored, profile("z_without", tags={"other": 5})])
    assert await people(profiles, *values, op=op) == expected


async def test_pages_follow_each_other_without_gap_or_repeat(profiles: Profiles) -> None:
    names = [f"person-{number:02}" for number in range(25)] + ["Z", "ä", "z", "\x00"]
    await profiles.put([profile(name, tags={"tag": 1}) for name in names])
    seen: list[str] = []
    while page := await people(profiles, 1, limit=7, after=seen[-1] if seen else None):
        seen += page
    assert len(seen) == len(names)
    assert set(seen) == set(names)
