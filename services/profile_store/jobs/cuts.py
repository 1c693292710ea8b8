"""The job `rfm`: cuts of scores from the whole population."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Tag
from services.contracts.derived import Score
from services.contracts.time import Micros
from services.profile_store.analysis.rfm import RULES, Cuts, counts, fifths
from services.profile_store.jobs.population import read_people
from services.profile_store.jobs.results import Found

PEOPLE_MAX: Final = 2_000_000
"""People whose numbers are in memory at once, 8 bytes each; of more a sample is taken."""
PEOPLE_MIN: Final = 20
"""Fifths of fewer people say nothing."""


async def find_cuts(engine: AsyncEngine, tags: Mapping[str, Tag], now: Micros) -> Found:
    """Fifths of everybody, for each tag whose score is `by` population.

    Raises:
        Transient: the database is away or busy.
    """
    scores = {name: score for name, tag in sorted(tags.items()) if (score := _score_of(tag))}
    if not scores:
        return Found()
    named = [one for score in scores.values() for one in (score.of, score.among) if one]
    inputs = list(dict.fromkeys(named))
    sample = await read_people(engine, [tags[one] for one in inputs], now=now, most=PEOPLE_MAX)
    next_tags: list[Tag] = []
    told: dict[str, Any] = {}
    for name, score in scores.items():
        of = inputs.index(score.of)
        among = inputs.index(score.among) if score.among is not None else of
        values = [row[0] for row in sample.rows((of, among))]
        if len(values) < PEOPLE_MIN:
            told[name] = {"refused": [f"{len(values)} people, at least {PEOPLE_MIN}"]}
            continue
        cuts = fifths(values)
        told[name] = _told(score, cuts, values)
        next_tags.append(_with_cuts(tags[name], score, cuts))
    return Found(
        tags=tuple(next_tags),
        report={"people": sample.seen, "sampled": len(sample) < sample.seen, "tags": told},
        refused=len(scores) - len(next_tags),
    )


def _score_of(tag: Tag) -> Score | None:
    score = None if tag.derive is None else tag.derive.score
    return score if score is not None and score.by == "population" else None


def _with_cuts(tag: Tag, score: Score, cuts: Cuts) -> Tag:
    assert tag.derive is not None
    replace = msgspec.structs.replace
    return replace(tag, derive=replace(tag.derive, score=replace(score, cuts=cuts)))


def _told(score: Score, cuts: Cuts, values: list[float]) -> dict[str, Any]:
    """What is said of one tag; `people` by rule and score."""
    return {
        "cuts": list(cuts),
        "cuts_before": list(score.cuts),
        "rule": score.rule,
        "people": {
            rule: {
                str(points): size
                for points, size in counts(values, cuts, rule, reverse=score.reverse).items()
            }
            for rule in RULES
        },
    }
