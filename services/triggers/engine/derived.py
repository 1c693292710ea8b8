"""Derived tags: pure functions of other tags, of traits and of the time.

Nothing of them is kept: they are computed where somebody asks. A definition has been checked.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from services.contracts.definitions import Tag
from services.contracts.derived import Bands, Case, Derive, Predict, Ratio, Score, Total
from services.contracts.models import BgNbd, GammaGamma
from services.contracts.time import DAY, MINUTE, Micros, parse_duration
from services.triggers.engine.clauses import NUMERIC, lookup
from services.triggers.engine.conditions import ReadTag, Writer
from services.triggers.engine.dates import anniversary, date_of
from services.triggers.engine.fingerprint import fingerprint_parts
from services.triggers.engine.limits import NEVER, SUM_DIGITS
from services.triggers.engine.local import (
    EPOCH,
    earliest_anywhere,
    instant_of,
    local_of,
    own_calendar,
)
from services.triggers.engine.predicting import alive, expected_purchases, expected_value
from services.triggers.engine.readings import TRAIT_EVENTS, Inputs, Reading, inputs_of, together
from services.triggers.engine.state import PersonState
from services.triggers.engine.tags import is_number, is_plain
from services.triggers.engine.windows import Calendar

Readings = Mapping[str, Reading]

AGE_YEARS_MAX: Final = 150
"""Nobody is older: a date that says so is wrong."""
_YEAR_MAX: Final = 2_110
"""No log goes so far."""
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


def compile_derived(tag: Tag, readings: Readings, calendar: Calendar) -> Reading:
    """The reading of a derived tag whose inputs have theirs; `calendar` is the workspace's."""
    derive = tag.derive
    assert derive is not None
    if derive.trait is not None:
        inputs, read = Inputs(events=TRAIT_EVENTS, traits=True), _trait(derive.trait)
        return Reading(read=read, inputs=_meaning(tag, inputs))
    if derive.age_of is not None:
        clock = AgeClock(derive.age_of, calendar)
        inputs = Inputs(events=TRAIT_EVENTS, traits=True, clocks=((clock, None),))
        zone = calendar.zone
        return Reading(read=clock.read, inputs=_meaning(tag, inputs, zone), clock=clock)
    read, inputs = _of_tags(derive, readings)
    return Reading(read=read, inputs=_meaning(tag, inputs))


def _meaning(tag: Tag, inputs: Inputs, *more: str) -> Inputs:
    """Its inputs, with one fingerprint of all that they and the tag itself mean."""
    text = msgspec.json.encode(tag.derive).decode()
    basis = str(fingerprint_parts([tag.id, text, *more, *inputs.basis]))
    return msgspec.structs.replace(inputs, basis=(basis,))


def _of_tags(derive: Derive, readings: Readings) -> tuple[ReadTag, Inputs]:
    if derive.bands is not None:
        bands = derive.bands
        bounds = [
            bound for one in bands.bands for bound in (one.from_, one.below) if bound is not None
        ]
        of = readings[bands.of]
        return _bands(bands, of.read), of.at_bounds(bounds)
    if derive.score is not None:
        score, of = derive.score, readings[derive.score.of]
        more = 1.0 if score.rule == "lt_next" else 0.0
        inputs = of.at_bounds([cut + more for cut in score.cuts])
        if score.among is None:
            return _score(score, of.read), inputs
        among = readings[score.among]
        # Only whether there is a value: no bound of it matters.
        return _score(score, of.read, among.read), together([inputs, among.at_bounds(())])
    if derive.cases:
        inputs = together(inputs_of(one.when, readings) for one in derive.cases)
        return _cases(derive.cases, derive.otherwise, readings), inputs
    inputs = together(readings[one].inputs for one in inputs_named(derive).values())
    if derive.ratio is not None:
        return _ratio(derive.ratio, readings), inputs
    if derive.total is not None:
        return _total(derive.total, readings), inputs
    assert derive.predict is not None
    return _predict(derive.predict, readings), inputs


def _trait(path: str) -> ReadTag:
    def read(state: PersonState, now: Micros) -> Any:
        value = lookup(state.traits, path)
        return value if is_plain(value) else None

    return read


class AgeClock:
    """Whole years since the date of a trait, in the person's zone; less than 0 before it."""

    ends = (0, AGE_YEARS_MAX + 1)

    def __init__(self, trait: str, calendar: Calendar) -> None:
        self._trait = trait
        self._calendar = calendar

    def read(self, state: PersonState, now: Micros) -> Any:
        """The age: null before the date, and where nobody is so old."""
        years = self.value(state, now)
        return years if years is not None and 0 <= years <= AGE_YEARS_MAX else None

    def value(self, state: PersonState, at: Micros) -> int | None:
        """One more from the first instant of each birthday on."""
        born = date_of(lookup(state.traits, self._trait))
        if born is None:
            return None
        zone = own_calendar(state, self._calendar).zone
        today = EPOCH + timedelta(days=local_of(zone, at)[0])
        return today.year - born.year - (today < anniversary(born, today.year))

    def reaches(self, state: PersonState, value: int, at: Micros) -> Micros:
        """The birthday's first instant anywhere; once that is over, the one in their zone."""
        born = date_of(lookup(state.traits, self._trait))
        if born is None or born.year + value > _YEAR_MAX:
            return NEVER
        day = (anniversary(born, born.year + value) - EPOCH).days
        anywhere = earliest_anywhere(day, 0)
        if anywhere > at:
            return anywhere
        # Clocks that go back over midnight come to a day twice.
        return max(at + MINUTE, instant_of(own_calendar(state, self._calendar).zone, day, 0))


def _ratio(ratio: Ratio, readings: Readings) -> ReadTag:
    of, to = readings[ratio.of].read, ratio.to
    divisor: ReadTag = readings[to].read if isinstance(to, str) else lambda state, now: to

    def read(state: PersonState, now: Micros) -> Any:
        value, by = of(state, now), divisor(state, now)
        if type(value) not in NUMERIC or type(by) not in NUMERIC or by == 0:
            return None
        return _fitting(value / by)

    return read


def _fitting(value: float) -> float | None:
    return round(value, SUM_DIGITS) if is_number(value) else None


def _total(total: Total, readings: Readings) -> ReadTag:
    terms = [(readings[one.of].read, one.times) for one in total.terms]

    def read(state: PersonState, now: Micros) -> Any:
        added = total.plus
        for of, times in terms:
            value = of(state, now)
            if type(value) not in NUMERIC:
                return None
            added += value * times
        return _fitting(added)

    return read


def _bands(bands: Bands, of: ReadTag) -> ReadTag:
    steps = [(one.from_, one.below, one.label) for one in bands.bands]

    def read(state: PersonState, now: Micros) -> Any:
        value = of(state, now)
        if type(value) not in NUMERIC:
            return None
        for from_, below, label in steps:
            if below is None or value < below:
                return label if from_ is None or value >= from_ else None
        return None

    return read


def _score(score: Score, of: ReadTag, among: ReadTag | None = None) -> ReadTag:
    more, cuts, reverse = (1.0 if score.rule == "lt_next" else 0.0), score.cuts, score.reverse

    def beyond(value: float, cut: float) -> bool:
        return value > cut if more == 0.0 else value >= cut + more

    def read(state: PersonState, now: Micros) -> Any:
        value = of(state, now)
        if type(value) not in NUMERIC or (among is not None and among(state, now) is None):
            return None
        points = 1 + sum(beyond(value, cut) for cut in cuts)
        return SCORE_MAX + 1 - points if reverse else points

    return read


def _cases(cases: Iterable[Case], otherwise: str | None, readings: Readings) -> ReadTag:
    """One function: it reads each tag once, however many cases ask for it."""
    cases = tuple(cases)
    writer = Writer({name: one.read for name, one in readings.items()})
    named = [tag for one in cases for _, tag in _tags_of(one.when, "")]
    lines = ["t = s.traits", *writer.read_tags_once(named)]
    lines += [
        f"if {writer.expression(one.when)}: return {writer.constant(one.label)}" for one in cases
    ]
    read: ReadTag = writer.build("s, now", [*lines, f"return {writer.constant(otherwise)}"])
    return read


def _predict(predict: Predict, readings: Readings) -> ReadTag:
    if predict.model == "gamma_gamma":
        return _expected_value(predict, readings)
    parameters = msgspec.convert(predict.parameters, BgNbd)
    named = (predict.frequency, predict.recency, predict.tenure)
    frequency, recency, tenure = (readings[one].read for one in named if one is not None)
    horizon = parse_duration(predict.horizon) / DAY
    purchases = predict.output == "purchases"

    def read(state: PersonState, now: Micros) -> Any:
        found = [frequency(state, now), recency(state, now), tenure(state, now)]
        if any(type(one) not in NUMERIC for one in found):
            return None
        x, since_last, age = found
        if x < 0:
            return None
        if purchases:
            return _fitting(expected_purchases(parameters, x, age - since_last, age, horizon))
        return _fitting(alive(parameters, x, age - since_last, age))

    return read


def _expected_value(predict: Predict, readings: Readings) -> ReadTag:
    parameters = msgspec.convert(predict.parameters, GammaGamma)
    frequency: Callable[..., Any] = readings[predict.frequency].read
    assert predict.monetary is not None
    monetary = readings[predict.monetary].read

    def read(state: PersonState, now: Micros) -> Any:
        x, mean = frequency(state, now), monetary(state, now)
        if type(x) not in NUMERIC or type(mean) not in NUMERIC or x < 0:
            return None
        return _fitting(expected_value(parameters, x, mean))

    return read
