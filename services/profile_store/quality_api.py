"""The data-quality report: what cleaning found, by source, day by day."""

from collections import defaultdict
from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.contracts.time import DAY, from_micros
from services.profile_store.limits import MICROS_MAX
from services.profile_store.quality_log import DayCount, QualityLog, Sample
from services.runtime.bearer import require_token
from services.runtime.moments import Day

DAYS_MAX: Final = 366
_EPOCH: Final = date(1970, 1, 1)


class DayOut(BaseModel):
    """How many were found on a day (UTC)."""

    day: str = Field(examples=["2026-03-01"])
    findings: int


class SampleOut(BaseModel):
    """One finding. Digits and letters of personal data are hidden."""

    at: str
    person: str
    message_id: str
    value: str | None


class FaultOut(BaseModel):
    """One fault that one rule found; `rule` is empty for events that came again."""

    rule: str
    fault: str = Field(examples=["quarantined"])
    findings: int
    trend: list[DayOut]
    samples: list[SampleOut] = Field(description="the newest")


class SourceOut(BaseModel):
    """What came wrong from one source, the most frequent first."""

    source: str
    findings: int
    faults: list[FaultOut]


class QualityReport(BaseModel):
    """Every source of which anything was found."""

    sources: list[SourceOut]


def quality_routes(quality: QualityLog) -> APIRouter:
    """The route of the report."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_token)], tags=["quality"])

    @router.get("/data-quality", summary="What cleaning found, by source")
    async def data_quality(
        source: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
        since: Annotated[Day | None, Query(description="first day, UTC")] = None,
        days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="how many to show")] = 30,
    ) -> QualityReport:
        """Counts of `days` days from `since` on; without it of the last there are."""
        if since is None:
            counts = await quality.counts(from_=0, to=MICROS_MAX, source=source)
            last = max((one.day for one in counts), default=0)
            counts = [one for one in counts if one.day > last - days * DAY]
        else:
            begin = (since - _EPOCH) // timedelta(days=1) * DAY
            counts = await quality.counts(from_=begin, to=begin + days * DAY, source=source)
        return report(counts, await quality.samples(source=source))

    return router


def report(counts: list[DayCount], samples: list[Sample]) -> QualityReport:
    """The report of these counts; samples of what is not among them are left out."""
    shown: dict[tuple[str, str, str], list[SampleOut]] = defaultdict(list)
    for one in samples:
        shown[one.source, one.rule, one.fault].append(
            SampleOut(
                at=from_micros(one.at).isoformat().replace("+00:00", "Z"),
                person=one.person,
                message_id=one.message_id,
                value=one.sample,
            )
        )
    trends: dict[tuple[str, str, str], list[DayCount]] = defaultdict(list)
    for count in counts:
        trends[count.source, count.rule, count.fault].append(count)
    faults: dict[str, list[FaultOut]] = defaultdict(list)
    for key, trend in trends.items():
        faults[key[0]].append(
            FaultOut(
                rule=key[1],
                fault=key[2],
                findings=sum(one.findings for one in trend),
                trend=[
                    DayOut(day=from_micros(one.day).date().isoformat(), findings=one.findings)
                    for one in trend
                ],
                samples=shown[key],
            )
        )
    sources = [
        SourceOut(
            source=source,
            findings=sum(one.findings for one in found),
            faults=sorted(found, key=lambda one: (-one.findings, one.rule, one.fault)),
        )
        for source, found in faults.items()
    ]
    return QualityReport(sources=sorted(sources, key=lambda one: (-one.findings, one.source)))
