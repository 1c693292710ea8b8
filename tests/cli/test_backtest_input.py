"""What a backtest takes for history and for a draft, and how it refuses what is neither."""

import gzip
from pathlib import Path

import pytest

from services.cli.demo import bundled_sample
from services.contracts.errors import CuestreamError
from services.triggers.backtest.report import encode_report
from tests.cli.backtesting import DRAFT, backtest, history, message, of
from tests.engine.build import NOON


async def test_a_duplicate_is_one_event_and_what_ingest_refuses_is_counted(tmp_path: Path) -> None:
    nobody = message(NOON)
    del nobody["userId"]
    report = await backtest(tmp_path, [message(NOON), message(NOON), nobody])
    assert of(report).sends == 1
    assert report.folded["duplicate"] == 1
    assert report.refused == {"missing_identity": 1}


async def test_a_gzipped_file_is_read_as_well(tmp_path: Path) -> None:
    path = history(tmp_path, [message(NOON)])
    packed = tmp_path / "h.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert encode_report(await backtest(tmp_path, packed)) == encode_report(
        await backtest(tmp_path, path)
    )


async def test_the_csv_of_the_demo_is_history_too(tmp_path: Path) -> None:
    lines = gzip.decompress(bundled_sample().read_bytes()).splitlines()[:200]
    path = tmp_path / "orders.csv"
    path.write_bytes(b"\n".join(lines) + b"\n")
    report = await backtest(tmp_path, path, draft=DRAFT.replace("order", "Product Purchased"))
    assert of(report).sends > 10
    assert report.events + sum(report.refused.values()) == 199


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no events"),
        (b'{"type": "track"}\n', "none of 1 can be used; line 1: userId or anonymousId"),
        (b'\n{"type":\n', "line 2: not one JSON object"),
        (b"a,b,c\n1,2,3\n", "line 1: not one JSON object"),
        (b"InvoiceNo,b\n", "the first line must be"),
        (b"x" * (1024 * 1024 + 1), "line 1: longer than"),
        (gzip.compress(b'{"a": 1}\n' * 1000)[:30], "not a whole gzip file"),
    ],
)
async def test_a_wrong_file_is_refused_with_place_and_reason(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(content)
    with pytest.raises(CuestreamError, match=rf"wrong: .*{complaint}"):
        await backtest(tmp_path, path)


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CuestreamError, match="gone: No such file"):
        await backtest(tmp_path, tmp_path / "gone")


@pytest.mark.parametrize(
    ("draft", "complaint"),
    [
        ("kind: tag\nid: t\naggregate: count\nevents: [e]\n", "no trigger that is a draft or live"),
        (DRAFT.replace("draft\nentry", "archived\nentry"), "no trigger that is a draft or live"),
        (DRAFT.replace("priority", "priorty"), r"draft\.yaml: triggers\.draft\.priorty: unknown"),
        (DRAFT + "audience: {tag: none, op: eq, value: 1}\n", r"triggers\.draft\.audience.*none"),
        ("id: draft\n", r"draft\.yaml: draft\.yaml, document 1: must be a mapping with a kind"),
    ],
)
async def test_a_wrong_draft_is_refused_before_anything_is_read(
    tmp_path: Path, draft: str, complaint: str
) -> None:
    with pytest.raises(CuestreamError, match=complaint):
        await backtest(tmp_path, tmp_path / "not-even-there", draft=draft)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"begins_at": "tomorrow"}, "--from: neither a date"),
        ({"ends_at": "2026-02-30"}, "--to: neither a date"),
        ({"begins_at": "2026-06-11", "ends_at": "2026-06-11"}, "--from has to be before --to"),
    ],
)
async def test_a_wrong_time_is_refused(
    tmp_path: Path, asked: dict[str, str], complaint: str
) -> None:
    with pytest.raises(CuestreamError, match=complaint):
        await backtest(tmp_path, [message(NOON)], **asked)
