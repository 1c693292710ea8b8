"""What is wrong with tags that are derived of others."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Final

import msgspec

from services.contracts.definitions import Tag
from services.contracts.derived import Bands, Derive, Predict, Score
from services.contracts.models import BgNbd, GammaGamma
from services.contracts.time import DAY, parse_duration
from services.triggers.engine.check_conditions import (
    Problems,
    TagKind,
    check_condition,
)
from services.triggers.engine.check_segments import refuse_properties
from services.triggers.engine.check_waiting import check_duration
from services.triggers.engine.derived import inputs_named
from services.triggers.engine.limits import TAG_READS_MAX, TAGS_READS_MAX
from services.triggers.engine.predicting import HORIZON_ALPHAS_MAX

_WAYS: Final = (
    "trait", "age_of", "ratio", "total", "bands", "score", "cases", "predict",
)  # fmt: skip
_OUTPUTS: Final = {"bg_nbd": ("alive", "purchases"), "gamma_gamma": ("value",)}
_INPUTS: Final = {"bg_nbd": ("recency", "tenure"), "gamma_gamma": ("monetary",)}
_PARAMETERS: Final[dict[str, type[BgNbd] | type[GammaGamma]]] = {
    "bg_nbd": BgNbd,
    "gamma_gamma": GammaGamma,
}


def check_derived(tags: Sequence[Tag], kinds: Mapping[str, TagKind], problems: Problems) -> None:
    """Add what is wrong with the derived ones of tags that fit their schema."""
    before = len(problems)
    for tag in tags:
        if tag.derive is not None:
            _check_one(tag.derive, f"tags.{tag.id}.derive", kinds, problems)
    if len(problems) == before:
        problems += _cycles(tags)
    if len(problems) == before:
        problems += _costs(tags)


def _check_one(
    derive: Derive, place: str, kinds: Mapping[str, TagKind], problems: Problems
) -> None:
    given = [name for name in _WAYS if getattr(derive, name)]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        problems.append((place, f"exactly one of {', '.join(_WAYS)} is needed, found {found}"))
        return
    if derive.otherwise is not None and not derive.cases:
        problems.append((f"{place}.otherwise", "belongs to cases"))
    if derive.cases:
        for number, case in enumerate(derive.cases):
            at = f"{place}.cases[{number}].when"
            before = len(problems)
            check_condition(case.when, at, problems, tag_kinds=kinds)
            if len(problems) == before:
                refuse_properties(case.when, at, problems)
        return
    for name, tag in inputs_named(derive).items():
        kind = kinds.get(tag)
        if kind is None:
            problems.append((f"{place}.{name}", f"unknown tag {tag!r}"))
        elif kind not in ("number", "any"):
            what = "list" if kind == "list" else "label"
            reason = f"the value of tag {tag!r} is a {what}: a number is needed"
            problems.append((f"{place}.{name}", reason))
    found_here = _numbers(derive)
    problems += [(f"{place}.{name}", reason) for name, reason in found_here]


def _numbers(derive: Derive) -> Iterator[tuple[str, str]]:
    """What is wrong with the numbers that it is made with."""
    divisor = None if derive.ratio is None else derive.ratio.to
    if isinstance(divisor, int | float) and (divisor == 0 or not isfinite(divisor)):
        yield "ratio.to", "nothing can be divided by it"
    if derive.total is not None:
        for number, term in enumerate(derive.total.terms):
            if not isfinite(term.times):
                yield f"total.terms[{number}].times", "not a finite number"
        if not isfinite(derive.total.plus):
            yield "total.plus", "not a finite number"
    if derive.bands is not None:
        yield from _band_problems(derive.bands)
    if derive.score is not None:
        yield from _cut_problems(derive.score)
    if derive.predict is not None:
        yield from _predict_problems(derive.predict)


def _band_problems(bands: Bands) -> Iterator[tuple[str, str]]:
    for number, band in enumerate(bands.bands):
        at = f"bands.bands[{number}]"
        bounds = [one for one in (band.from_, band.below) if one is not None]
        if not all(isfinite(one) for one in bounds):
            yield at, "bounds are finite numbers; an open side is left out"
            return
        if len(bounds) == 2 and not bounds[0] < bounds[1]:
            yield f"{at}.below", f"nothing is from {bounds[0]:g} on and below {bounds[1]:g}"
            return
    for number, (before, band) in enumerate(pairwise(bands.bands), start=1):
        at = f"bands.bands[{number}].from"
        if band.from_ is None:
            yield at, "only the first band is open below"
        elif before.below is None:
            yield at, f"overlaps {before.label!r}, which has no end: only the last one is open"
        elif band.from_ < before.below:
            yield at, f"overlaps {before.label!r}, which ends below {before.below:g}"


def _cut_problems(score: Score) -> Iterator[tuple[str, str]]:
    for number, cut in enumerate(score.cuts):
        if not isfinite(cut):
            yield f"score.cuts[{number}]", "not a finite number"
            return
    for number, (before, cut) in enumerate(pairwise(score.cuts), start=1):
        if cut < before:
            yield f"score.cuts[{number}]", f"cuts ascend, and {cut:g} is below {before:g}"


def _predict_problems(predict: Predict) -> Iterator[tuple[str, str]]:
    model = predict.model
    if predict.output not in _OUTPUTS[model]:
        yield "predict.output", f"{model} gives {' and '.join(_OUTPUTS[model])}"
    for name in _INPUTS[model]:
        if getattr(predict, name) is None:
            yield f"predict.{name}", f"{model} needs this tag"
    try:
        parameters = msgspec.convert(predict.parameters, _PARAMETERS[model])
    except msgspec.ValidationError as error:
        yield "predict.parameters", f"not those of {model}: {error}"
        return
    found: Problems = []
    horizon = check_duration(predict.horizon, "predict.horizon", found)
    yield from found
    if horizon is not None and isinstance(parameters, BgNbd):
        most = HORIZON_ALPHAS_MAX * parameters.alpha
        if parse_duration(predict.horizon) / DAY > most:
            yield "predict.horizon", f"at most {most:g} days with this alpha"


def _inputs(tags: Sequence[Tag]) -> dict[str, dict[str, str]]:
    return {tag.id: inputs_named(tag.derive) for tag in tags if tag.derive is not None}


def _reads(tags: Sequence[Tag]) -> dict[str, list[str]]:
    """The tags that each reads; one of cases reads a tag once, however often it asks for it."""
    reads: dict[str, list[str]] = {}
    for tag in tags:
        if tag.derive is not None:
            named = list(inputs_named(tag.derive).values())
            reads[tag.id] = list(dict.fromkeys(named)) if tag.derive.cases else named
    return reads


def _cycles(tags: Sequence[Tag]) -> Problems:
    """Tags that are made of themselves, each cycle told once, where it closes."""
    inputs, done, problems = _inputs(tags), set[str](), Problems()
    for first in inputs:
        path: list[str] = []
        waiting = [(first, iter(inputs[first].items()))] if first not in done else []
        while waiting:
            tag, rest = waiting[-1]
            if len(path) < len(waiting):
                path.append(tag)
            place, following = next(rest, (None, ""))
            if place is None:
                done.add(path.pop())
                waiting.pop()
            elif following in path:
                round_ = " of ".join([*path[path.index(following) :], following])
                reason = f"a tag cannot be made of itself: {round_}"
                problems.append((f"tags.{tag}.derive.{place}", reason))
                return problems
            elif following in inputs and following not in done:
                waiting.append((following, iter(inputs[following].items())))
    return problems


def _costs(tags: Sequence[Tag]) -> Problems:
    """Tags that are made of so many others that reading them would take too long."""
    reads = _reads(tags)
    known: dict[str, int] = {}

    def cost(tag: str) -> int:
        if tag not in known:
            known[tag] = max(1, sum(cost(one) for one in reads.get(tag, ())))
        return known[tag]

    problems: Problems = []
    for tag in reads:
        if cost(tag) > TAG_READS_MAX:
            reason = f"reads {cost(tag)} tags in all, at most {TAG_READS_MAX} are allowed"
            problems.append((f"tags.{tag}.derive", reason))
            return problems
    total = sum(cost(tag) for tag in reads)
    if total > TAGS_READS_MAX:
        reason = f"derived ones read {total} tags in all, at most {TAGS_READS_MAX} are allowed"
        problems.append(("tags", reason))
    return problems
