"""Derived tags: pure functions of other tags, of traits and of the time.

Nothing of them is kept: they are computed where somebody asks. A definition has been checked.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from services.contracts.definitions import Tag
from services.contracts.derived import Bands, Case, Derive, Predict, Ratio, Score, Total
from services.contracts.models import BgNbd, GammaGamma
from services.contracts.time import DAY, Micros, parse_duration
from services.triggers.engine.ages import AgeClock
from services.triggers.engine.clauses import NUMERIC, lookup
from services.triggers.engine.conditions import ReadTag, Writer
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.limits import SUM_DIGITS
from services.triggers.engine.predicting import alive, expected_purchases, expected_value
from services.triggers.engine.readings import TRAIT_EVENTS, Inputs, Reading, inputs_of, together
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import is_number, is_plain
from services.triggers.engine.windows import Calendar

Readings = Mapping[str, Reading]

SCORE_MAX: Final = 5


def inputs_named(derive: Derive) -> dict[str, str]:
    """The tags that one is derived of, by the place where they are named."""
    found: dict[str, str] = {}
    if derive.ratio is not None:
        found["ratio.of"] = derive.ratio.of
        if isinstance(derive.ratio.to, str):
            found["ratio.to"] = derive.ratio.to
    if derive.total is not None:
        for number, term in enumerate(derive.total.terms):
            found[f"total.terms[{number}].of"] = term.of
    if derive.bands is not None:
        found["bands.of"] = derive.bands.of
    if derive.score is not None:
        found["score.of"] = derive.score.of
        if derive.score.among is not None:
            found["score.among"] = derive.score.among
    for number, case in enumerate(derive.cases):
        found.update(_tags_of(case.when, f"cases[{number}].when"))
    if derive.predict is not None:
        for name in ("frequency", "recency", "tenure", "monetary"):
            tag = getattr(derive.predict, name)
            if tag is not None:
                found[f"predict.{name}"] = tag
    return found


def _tags_of(condition: Any, place: str) -> Iterable[tuple[str, str]]:
    if condition.tag is not None:
        yield f"{place}.tag", condition.tag
    for name, parts in (("all", condition.all_), ("any", condition.any_)):
        for number, part in enumerate(parts or ()):
            yield from _tags_of(part, f"{place}.{name}[{number}]")
    if condition.not_ is not None:
        yield from _tags_of(condition.not_, f"{place}.not")


def in_order(tags: Iterable[Tag]) -> list[Tag]:
    """Derived tags, each behind those of them that it is made of. There is no cycle."""
    derived = {tag.id: tag for tag in tags if tag.derive is not None}
    done: dict[str, Tag] = {}
    for first in sorted(derived):
        waiting = [first]
        while waiting:
            tag = derived[waiting[-1]]
            assert tag.derive is not None
            named = inputs_named(tag.derive).values()
            missing = [one for one in named if one in derived and one not in done]
            if missing:
                waiting += missing
            else:
                done.setdefault(waiting.pop(), tag)
    return list(done.values())


class Made(msgspec.Struct, frozen=True, eq=False):
    """What a tag is made of, and how: `compute(state, now, *values)`, a value of each input."""

    of: tuple[str, ...]
    compute: Callable[..., Any]


def compile_derived(tag: Tag, readings: Readings, calendar: Calendar) -> tuple[Reading, Made]:
    """How a derived tag whose inputs have their readings is read, and what it is made of.

    The reading reads the inputs first; whoever has read these can compute it alone. `calendar`
    is the workspace's.
    """
    derive = tag.derive
    assert derive is not None
    clock = None if derive.age_of is None else AgeClock(derive.age_of, calendar)
    if derive.trait is not None:
        inputs = Inputs(events=TRAIT_EVENTS, traits=True)
        made = Made((), _trait(derive.trait))
    elif clock is not None:
        inputs = Inputs(events=TRAIT_EVENTS, traits=True, clocks=((clock, None),))
        made = Made((), clock.read)
    else:
        made, inputs = _of_tags(derive, readings)
    # One fingerprint of all that they and the tag itself mean.
    text = msgspec.json.encode(derive).decode()
    zone = "" if clock is None else calendar.zone
    basis = str(fingerprint_parts([tag.id, text, zone, *inputs.basis]))
    inputs = msgspec.structs.replace(inputs, basis=(basis,))
    return Reading(read=_reader(made, readings), inputs=inputs, clock=clock), made


def _reader(made: Made, readings: Readings) -> ReadTag:
    compute, reads = made.compute, [readings[one].read for one in made.of]
    if not reads:
        return compute
    if len(reads) == 1:
        (only,) = reads
        return lambda state, now: compute(state, now, only(state, now))
    return lambda state, now: compute(state, now, *[read(state, now) for read in reads])


def _of_tags(derive: Derive, readings: Readings) -> tuple[Made, Inputs]:
    if derive.bands is not None:
        bands = derive.bands
        bounds = [
            bound for one in bands.bands for bound in (one.from_, one.below) if bound is not None
        ]
        return Made((bands.of,), _bands(bands)), readings[bands.of].at_bounds(bounds)
    if derive.score is not None:
        return _scored(derive.score, readings)
    if derive.cases:
        inputs = together(inputs_of(one.when, readings) for one in derive.cases)
        return _cases(derive.cases, derive.otherwise), inputs
    if derive.ratio is not None:
        made = _ratio(derive.ratio)
    elif derive.total is not None:
        made = _total(derive.total)
    else:
        assert derive.predict is not None
        made = _predict(derive.predict)
    return made, together(readings[one].inputs for one in made.of)


def _trait(path: str) -> ReadTag:
    def compute(state: PersonState, now: Micros) -> Any:
        value = lookup(state.traits, path)
        return value if is_plain(value) else None

    return compute


def _fitting(value: float) -> float | None:
    return round(value, SUM_DIGITS) if is_number(value) else None


def _ratio(ratio: Ratio) -> Made:
    of, to = ratio.of, ratio.to

    def compute(state: PersonState, now: Micros, value: Any, by: Any = to) -> Any:
        if type(value) not in NUMERIC or type(by) not in NUMERIC or by == 0:
            return None
        return _fitting(value / by)

    return Made((of, to) if isinstance(to, str) else (of,), compute)


def _total(total: Total) -> Made:
    times, plus = [one.times for one in total.terms], total.plus

    def compute(state: PersonState, now: Micros, *values: Any) -> Any:
        added = plus
        for value, so_much in zip(values, times, strict=True):
            if type(value) not in NUMERIC:
                return None
            added += value * so_much
        return _fitting(added)

    return Made(tuple(one.of for one in total.terms), compute)


def _bands(bands: Bands) -> Callable[..., Any]:
    steps = [(one.from_, one.below, one.label) for one in bands.bands]

    def compute(state: PersonState, now: Micros, value: Any) -> Any:
        if type(value) not in NUMERIC:
            return None
        for from_, below, label in steps:
            if below is None or value < below:
                return label if from_ is None or value >= from_ else None
        return None

    return compute


def _scored(score: Score, readings: Readings) -> tuple[Made, Inputs]:
    more, cuts, reverse = (1.0 if score.rule == "lt_next" else 0.0), score.cuts, score.reverse

    def beyond(value: float, cut: float) -> bool:
        return value > cut if more == 0.0 else value >= cut + more

    def compute(state: PersonState, now: Micros, value: Any, among: Any = True) -> Any:
        if type(value) not in NUMERIC or among is None:
            return None
        points = 1 + sum(beyond(value, cut) for cut in cuts)
        return SCORE_MAX + 1 - points if reverse else points

    inputs = readings[score.of].at_bounds([cut + more for cut in cuts])
    if score.among is None:
        return Made((score.of,), compute), inputs
    # Only whether there is a value: no bound of it matters.
    among = readings[score.among].at_bounds(())
    return Made((score.of, score.among), compute), together([inputs, among])


def _cases(cases: Iterable[Case], otherwise: str | None) -> Made:
    """One function of the tags that the cases ask for, each given once."""
    cases = tuple(cases)
    named = tuple(dict.fromkeys(tag for one in cases for _, tag in _tags_of(one.when, "")))
    writer = Writer({})
    given = writer.given(named)
    lines = [
        "t = s.traits",
        *(
            f"if {writer.expression(one.when)}: return {writer.constant(one.label)}"
            for one in cases
        ),
        f"return {writer.constant(otherwise)}",
    ]
    return Made(named, writer.build(", ".join(["s, now", *given]), lines))


def _predict(predict: Predict) -> Made:
    if predict.model == "gamma_gamma":
        return _expected_value(predict)
    parameters = msgspec.convert(predict.parameters, BgNbd)
    horizon = parse_duration(predict.horizon) / DAY
    purchases = predict.output == "purchases"

    def compute(state: PersonState, now: Micros, x: Any, since_last: Any, age: Any) -> Any:
        if any(type(one) not in NUMERIC for one in (x, since_last, age)) or x < 0:
            return None
        if purchases:
            return _fitting(expected_purchases(parameters, x, age - since_last, age, horizon))
        return _fitting(alive(parameters, x, age - since_last, age))

    assert predict.recency is not None
    assert predict.tenure is not None
    return Made((predict.frequency, predict.recency, predict.tenure), compute)


def _expected_value(predict: Predict) -> Made:
    parameters = msgspec.convert(predict.parameters, GammaGamma)

    def compute(state: PersonState, now: Micros, x: Any, mean: Any) -> Any:
        if type(x) not in NUMERIC or type(mean) not in NUMERIC or x < 0:
            return None
        return _fitting(expected_value(parameters, x, mean))

    assert predict.monetary is not None
    return Made((predict.frequency, predict.monetary), compute)
