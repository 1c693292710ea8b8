"""What is wrong with rules of cleaning, each problem with its place."""

from collections import Counter
from collections.abc import Sequence

from services.contracts.cleaning import Cleaning, Missing, Outlier
from services.contracts.conditions import Scalar
from services.triggers.engine.check_conditions import Problems

_ONE_SUBJECT = "give either property with events, or trait"


def cleaning_problems(rules: Sequence[Cleaning]) -> Problems:
    """Problems of all rules of a workspace, as (place, reason)."""
    problems: Problems = []
    ids = Counter(rule.id for rule in rules)
    for number, rule in enumerate(rules):
        place = f"cleaning[{number}]"
        if ids[rule.id] > 1:
            problems.append((f"{place}.id", "two have this id"))
        problems += [(f"{place}{where}", reason) for where, reason in _problems(rule)]
    return problems


def _problems(rule: Cleaning) -> Problems:
    problems: Problems = []
    if (rule.property is None) == (rule.trait is None):
        problems.append(("", _ONE_SUBJECT))
    elif (rule.property is None) != (rule.events is None):
        problems.append((".events", _ONE_SUBJECT))
    nothing = (rule.form, rule.respell, rule.missing, rule.min, rule.max, rule.one_of)
    if rule.outlier is None and all(one is None for one in nothing):
        problems.append(("", "does nothing: give form, respell, missing, a bound or outlier"))
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        problems.append((".min", "is greater than max: nothing would be possible"))
    if rule.one_of is not None and not rule.one_of:
        problems.append((".one_of", "is empty: nothing would be possible"))
    if rule.day_first is not None and rule.form != "date":
        problems.append((".day_first", "is for dates only"))
    if rule.missing is not None:
        problems += [(f".missing{place}", reason) for place, reason in _missing(rule.missing)]
        if rule.missing.fill is not None and not _possible(rule, rule.missing.fill):
            problems.append((".missing.fill", "is a value that the rule itself takes out"))
    if rule.outlier is not None:
        problems += [(f".outlier{place}", reason) for place, reason in _outlier(rule)]
    return problems


def _missing(missing: Missing) -> Problems:
    given = (missing.fill is not None, missing.infer is not None, missing.unknown)
    if sum(given) != 1:
        return [("", "give exactly one of fill, infer, unknown")]
    if (missing.infer is None) != (missing.table is None):
        return [(".table", "infer needs a table, and a table is for infer")]
    return []


def _possible(rule: Cleaning, value: Scalar) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = rule.min, rule.max
        return (low is None or value >= low) and (high is None or value <= high)
    return rule.min is None and rule.max is None


def _outlier(rule: Cleaning) -> Problems:
    outlier: Outlier | None = rule.outlier
    assert outlier is not None
    problems: Problems = []
    if rule.property is None:
        problems.append(("", "is for properties: a trait has no distribution"))
    given = outlier.mean is not None, outlier.deviation is not None
    if outlier.of == "population" and not all(given):
        problems.append(("", "of the population needs mean and deviation"))
    if outlier.of == "person" and any(given):
        problems.append(("", "of the person has its own mean and deviation"))
    return problems
