"""The data-quality report: each finding counted once, by source, with samples and trend."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.contracts.cleaning import Finding, Findings
from services.contracts.codec import encode_json
from services.contracts.errors import Malformed
from services.contracts.time import DAY
from services.profile_store.quality_api import report
from services.profile_store.quality_log import (
    OTHER,
    SAMPLES_MAX,
    SOURCES_MAX,
    DayCount,
    QualityLog,
    Sample,
    findings_of,
)
from tests.profile_store.examples import NOON

ALWAYS: dict[str, Any] = {"from_": 0, "to": 2**62, "source": None}


def finding(position: int, **fields: Any) -> Finding:
    """A value that was taken out of one of ana's orders."""
    given: dict[str, Any] = {
        "person": "ana", "position": position, "at": NOON, "source": "shop", "rule": "amount",
        "fault": "quarantined", "message_id": f"m{position}", "sample": "-100",
    }  # fmt: skip
    return Finding(**(given | fields))


def findings(*found: Finding, partition: int = 0) -> Findings:
    """A record of the topic."""
    return Findings(partition=partition, findings=found)


@pytest.fixture
def quality(engine: AsyncEngine) -> QualityLog:
    """The log over a fresh database."""
    return QualityLog(engine)


@pytest.mark.embedded
async def test_what_is_written_again_after_a_crash_is_not_counted_again(
    quality: QualityLog,
) -> None:
    one, two, three = finding(1), finding(2), finding(3)
    assert await quality.put(findings(one, two)) == 2
    # The worker died before its state was written, and cut its batches elsewhere.
    assert await quality.put(findings(one)) == 0
    assert await quality.put(findings(two, three)) == 1
    (count,) = await quality.counts(**ALWAYS)
    assert count.findings == 3
    assert len(await quality.samples(source=None)) == 3


@pytest.mark.embedded
async def test_what_comes_before_an_incomplete_record_is_counted_all_the_same(
    quality: QualityLog,
) -> None:
    # The worker wrote in the middle of a stretch: people are folded one after another.
    await quality.put(Findings(partition=0, findings=(finding(5),), complete=False))
    assert await quality.put(findings(finding(2), finding(7))) == 2
    assert await quality.put(findings(finding(2), finding(7))) == 0


@pytest.mark.embedded
async def test_a_topic_that_was_made_anew_counts_from_its_beginning(quality: QualityLog) -> None:
    await quality.put(findings(finding(500)))
    assert await quality.put(findings(finding(1, at=NOON + 1))) == 1


@pytest.mark.embedded
async def test_partitions_do_not_know_of_each_other(quality: QualityLog) -> None:
    assert await quality.put(findings(finding(1))) == 1
    assert await quality.put(findings(finding(1), partition=1)) == 1


@pytest.mark.embedded
async def test_counts_are_by_source_rule_fault_and_day(quality: QualityLog) -> None:
    await quality.put(
        findings(
            finding(1),
            finding(2, at=NOON + DAY),
            finding(3, source="app\x00"),
            finding(4, rule="", fault="duplicate", sample=None),
        )
    )
    day = NOON // DAY * DAY
    assert await quality.counts(**ALWAYS) == [
        DayCount(source="app\x00", rule="amount", fault="quarantined", day=day, findings=1),
        DayCount(source="shop", rule="", fault="duplicate", day=day, findings=1),
        DayCount(source="shop", rule="amount", fault="quarantined", day=day, findings=1),
        DayCount(source="shop", rule="amount", fault="quarantined", day=day + DAY, findings=1),
    ]
    assert [one.source for one in await quality.counts(**{**ALWAYS, "source": "app\x00"})] == [
        "app\x00"
    ]
    await quality.prune(keep_days=1)
    assert [one.day for one in await quality.counts(**ALWAYS)] == [day + DAY]


@pytest.mark.embedded
async def test_made_up_sources_cannot_fill_the_table(quality: QualityLog) -> None:
    many = [finding(number, source=f"s{number:04}") for number in range(SOURCES_MAX + 10)]
    await quality.put(findings(*many))
    await quality.put(findings(finding(10_000, source="one more")))
    counts = await quality.counts(**ALWAYS)
    assert len(counts) == SOURCES_MAX + 1
    assert [one.findings for one in counts if one.source == OTHER] == [11]


@pytest.mark.embedded
async def test_only_the_newest_samples_stay(quality: QualityLog) -> None:
    for first in range(0, 60, 30):
        await quality.put(findings(*(finding(first + n, at=NOON + first + n) for n in range(30))))
    await quality.prune(keep_days=30)
    samples = await quality.samples(source="shop")
    assert [one.message_id for one in samples] == [f"m{59 - n}" for n in range(SAMPLES_MAX)]


def test_the_report_begins_with_what_is_most_frequent() -> None:
    counts = [
        DayCount(source="app", rule="city", fault="unknown", day=0, findings=2),
        DayCount(source="shop", rule="amount", fault="outlier", day=0, findings=1),
        DayCount(source="shop", rule="phone", fault="unknown", day=0, findings=3),
        DayCount(source="shop", rule="phone", fault="unknown", day=DAY, findings=4),
    ]
    sample = Sample(
        source="shop", rule="phone", fault="unknown", at=NOON, person="ana", message_id="m",
        sample="99",
    )  # fmt: skip
    shop, app = report(counts, [sample]).sources
    assert (shop.source, shop.findings, app.source) == ("shop", 8, "app")
    phone, amount = shop.faults
    assert (phone.rule, phone.findings, [one.findings for one in phone.trend]) == (
        "phone", 7, [3, 4],
    )  # fmt: skip
    assert [one.day for one in phone.trend] == ["1970-01-01", "1970-01-02"]
    assert ([one.value for one in phone.samples], amount.samples) == (["99"], [])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "bad_finding"),
        (b"{}", "bad_finding"),
        (encode_json(findings(finding(-1))), "unstorable"),
        (encode_json(findings(finding(1, at=2**62))), "unstorable"),
    ],
)
def test_what_is_no_finding_is_refused(value: bytes | None, code: str) -> None:
    with pytest.raises(Malformed) as refused:
        findings_of(value)
    assert refused.value.code == code
