"""What models expected of people, kept until it is known what came.

Held-out people say whether a model knows its population; only time says whether it knows the
future. Once a week what is published is written down for some people, with their history but
without who they are (a fingerprint of the id); runs of later weeks compare.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.contracts.definitions import Tag
from services.contracts.derived import Predict
from services.contracts.models import BgNbd
from services.contracts.time import DAY, Micros
from services.profile_store.analysis import bgnbd
from services.runtime.database import transient_errors

PEOPLE_MAX: Final = 2_000
WRITTEN_EVERY_DAYS: Final = 7
JUDGED_AFTER_DAYS: Final = 7
KEPT_DAYS: Final = 91


def _number(source: str, tag: str) -> str:
    # Only a CASE keeps the cast from what is no number.
    value = f"{source}.tags -> CAST(:{tag} AS text)"
    return f"CASE WHEN jsonb_typeof({value}) = 'number' THEN CAST({value} AS double precision) END"


_WRITE: Final = text(f"""
INSERT INTO profile_store.forecast_people (tag, made_at, who, x, t_x, age)
SELECT :tag, :at, who, x, greatest(0, tenure - recency),
    tenure + greatest(0, (CAST(:at AS bigint) - as_of) / CAST({DAY} AS bigint))
FROM (
    SELECT hashtextextended(person, 0) AS who, as_of,
        {_number("profile", "frequency")} AS x,
        {_number("profile", "recency")} AS recency,
        {_number("profile", "tenure")} AS tenure
    FROM profile_store.profiles AS profile WHERE merged_into IS NULL
) AS found WHERE x >= 0 AND recency IS NOT NULL AND tenure IS NOT NULL
ORDER BY who LIMIT :most ON CONFLICT DO NOTHING
""")  # noqa: S608  (our own texts)
_CAME: Final = text(f"""
SELECT x, t_x, age, now_x - x AS came FROM (
    SELECT past.x, past.t_x, past.age, {_number("profile", "frequency")} AS now_x
    FROM profile_store.forecast_people AS past JOIN profile_store.profiles AS profile
        ON hashtextextended(profile.person, 0) = past.who
    WHERE past.tag = :tag AND past.made_at = :made_at AND profile.merged_into IS NULL
) AS found WHERE now_x IS NOT NULL
""")  # noqa: S608  (our own texts)
_LATEST: Final = text("SELECT max(made_at) FROM profile_store.forecasts WHERE tag = :tag")
_OLDEST: Final = text("""
SELECT made_at, CAST(parameters AS text) FROM profile_store.forecasts
WHERE tag = :tag AND made_at <= :until ORDER BY made_at LIMIT 1
""")
_BEGIN: Final = text("""
INSERT INTO profile_store.forecasts (tag, made_at, parameters)
VALUES (:tag, :at, CAST(:parameters AS jsonb)) ON CONFLICT DO NOTHING
""")
_FORGET: Final = text("DELETE FROM profile_store.forecasts WHERE made_at < :before")


async def write_forecasts(engine: AsyncEngine, tags: Iterable[Tag], now: Micros) -> None:
    """Write down, for tags of expected purchases, whom they would be expected of at `now`;
    forget what is too old.

    Raises:
        Transient: the database is away or busy.
    """
    with transient_errors():
        async with engine.begin() as connection:
            await connection.execute(_FORGET, {"before": now - KEPT_DAYS * DAY})
            for name, predict in _asked(tags):
                latest = (await connection.execute(_LATEST, {"tag": name})).scalar()
                if latest is not None and now - latest < WRITTEN_EVERY_DAYS * DAY:
                    continue
                told = msgspec.json.encode(predict.parameters).decode()
                begun = {"tag": name, "at": now, "parameters": told}
                await connection.execute(_BEGIN, begun)
                chosen = {**_inputs(predict), "tag": name, "at": now, "most": PEOPLE_MAX}
                await connection.execute(_WRITE, chosen)


async def judge_forecasts(
    engine: AsyncEngine, tags: Mapping[str, Tag], now: Micros
) -> dict[str, dict[str, float]]:
    """By tag, how the oldest forecast there is came true: purchases `expected` since and those
    that `came`, of how many people in how many days, and the `error` as a part of what came.

    Raises:
        Transient: the database is away or busy.
    """
    judged: dict[str, dict[str, float]] = {}
    with transient_errors():
        async with engine.connect() as connection:
            for name, predict in _asked(tags.values()):
                found = await _judge(connection, name, predict, now)
                if found:
                    judged[name] = found
    return judged


async def _judge(
    connection: AsyncConnection, tag: str, predict: Predict, now: Micros
) -> dict[str, float]:
    until = now - JUDGED_AFTER_DAYS * DAY
    forecast = (await connection.execute(_OLDEST, {"tag": tag, "until": until})).first()
    if forecast is None:
        return {}
    made_at, told = forecast
    asked = {"tag": tag, "made_at": made_at, "frequency": predict.frequency}
    rows = (await connection.execute(_CAME, asked)).all()
    parameters = msgspec.json.decode(told, type=BgNbd)
    days = (now - made_at) / DAY
    expected = sum(
        bgnbd.expected_later(parameters, (int(x), t_x, age), days) for x, t_x, age, _ in rows
    )
    # Fewer than before: somebody's tag began anew.
    came = sum(max(0.0, more) for _, _, _, more in rows)
    judged = {"days": days, "people": len(rows), "expected": expected, "came": came}
    if came:
        judged["error"] = expected / came - 1
    return {name: round(number, 4) for name, number in judged.items()}


def _asked(tags: Iterable[Tag]) -> Iterable[tuple[str, Predict]]:
    for tag in tags:
        predict = None if tag.derive is None else tag.derive.predict
        if predict is not None and predict.output == "purchases":
            yield tag.id, predict


def _inputs(predict: Predict) -> dict[str, str | None]:
    return {
        "frequency": predict.frequency,
        "recency": predict.recency,
        "tenure": predict.tenure,
    }
