"""The job `models`: parameters of repeat-purchase models from the whole population."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.definitions import Tag
from services.contracts.derived import Predict
from services.contracts.time import Micros, from_micros
from services.profile_store.analysis.fitting import Fitted, fit_bg_nbd, fit_gamma_gamma
from services.profile_store.jobs.population import read_people
from services.profile_store.jobs.results import Found
from services.profile_store.jobs.sample import Sample

PEOPLE_MAX: Final = 50_000
"""People a model is fitted to and judged on; of more a sample is taken. More would change
nothing but the time that it takes."""

_Inputs = tuple[str, tuple[str, ...]]
"""A model and the tags it is fed with: what shares them is fitted once."""


async def find_parameters(engine: AsyncEngine, tags: Mapping[str, Tag], now: Micros) -> Found:
    """A fit for each tag with a model, its parameters, and how good it is on held-out people.

    It computes for seconds without giving way. What fits badly is not among the tags found.

    Raises:
        Transient: the database is away or busy.
    """
    predicts = {name: predict for name, tag in sorted(tags.items()) if (predict := _of(tag))}
    if not predicts:
        return Found()
    asked = {name: _inputs(predict) for name, predict in predicts.items()}
    inputs = list(dict.fromkeys(one for _, named in asked.values() for one in named))
    sample = await read_people(engine, [tags[one] for one in inputs], now=now, most=PEOPLE_MAX)
    fits = {one: _fit(one, inputs, sample) for one in dict.fromkeys(asked.values())}
    good = [name for name in predicts if not fits[asked[name]].refused]
    return Found(
        tags=tuple(_with_fit(tags[name], fits[asked[name]], now) for name in good),
        report={
            "people": sample.seen,
            "sampled": len(sample) < sample.seen,
            "tags": {name: _told(predicts[name], fits[asked[name]]) for name in predicts},
        },
        refused=len(predicts) - len(good),
    )


def _of(tag: Tag) -> Predict | None:
    return None if tag.derive is None else tag.derive.predict


def _inputs(predict: Predict) -> _Inputs:
    named: tuple[str | None, ...] = (predict.frequency, predict.recency, predict.tenure)
    if predict.model == "gamma_gamma":
        named = (predict.frequency, predict.monetary)
    # The check of definitions sees to it that none is missing.
    return predict.model, tuple(one for one in named if one is not None)


def _fit(asked: _Inputs, inputs: list[str], sample: Sample) -> Fitted:
    """Numbers that no history has (fewer than no repeats, half an order) are left out."""
    model, named = asked
    rows = sample.rows([inputs.index(one) for one in named])
    people = [row for row in rows if row[0] >= 0 and row[0].is_integer()]
    if model == "gamma_gamma":
        return fit_gamma_gamma([(int(x), m) for x, m in people])
    return fit_bg_nbd(
        [(int(x), max(0.0, tenure - recency), tenure) for x, recency, tenure in people]
    )


def _with_fit(tag: Tag, fitted: Fitted, now: Micros) -> Tag:
    assert tag.derive is not None
    assert tag.derive.predict is not None
    replace = msgspec.structs.replace
    predict = replace(
        tag.derive.predict,
        parameters=fitted.parameters,
        fitted_at=from_micros(now).isoformat(timespec="seconds").replace("+00:00", "Z"),
        fit=dict(fitted.figures),
    )
    return replace(tag, derive=replace(tag.derive, predict=predict))


def _told(predict: Predict, fitted: Fitted) -> dict[str, Any]:
    told: dict[str, Any] = {
        "model": predict.model,
        "parameters": fitted.parameters,
        "parameters_before": predict.parameters,
        "figures": fitted.figures,
    }
    return {**told, "refused": list(fitted.refused)} if fitted.refused else told
