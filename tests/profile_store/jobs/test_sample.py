"""A sample stays small, and chooses by who people are."""

from random import Random

from services.profile_store.jobs.sample import Sample


def test_as_long_as_there_is_room_everybody_is_in_it() -> None:
    sample = Sample(2, 10)
    sample.add("ada", (1, None))
    sample.add("bob", (2, 5))
    assert sample.seen == len(sample) == 2
    assert sorted(sample.rows((0,))) == [(1,), (2,)]
    assert sample.rows((0, 1)) == [(2, 5)]


def test_whoever_comes_in_whatever_order_the_same_people_stay() -> None:
    people = list(range(2_000))
    chosen = []
    for seed in (1, 2):
        Random(seed).shuffle(people)
        sample = Sample(1, 100)
        for one in people:
            sample.add(f"p{one}", (one,))
        assert sample.seen == 2_000
        assert 25 <= len(sample) <= 100
        chosen.append(sample.rows((0,)))
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == len(chosen[0])
