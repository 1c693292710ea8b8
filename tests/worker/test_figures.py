"""What a flush counts, as a scrape shows it."""

import msgspec
from prometheus_client import generate_latest

from services.contracts.control import Answer, Ask
from services.runtime.metrics import Metrics
from services.triggers.worker.figures import Figures
from services.triggers.worker.flushing import FlushBuilder
from services.triggers.worker.letters import Letters
from services.triggers.worker.reading import PartitionMeta
from services.triggers.worker.values import Flush
from tests.worker.driver import Row
from tests.worker.standin import StandInOutputs, stand_in


def _flushed(out: StandInOutputs) -> Flush:
    return FlushBuilder(stand_in(), 4).build(
        out,
        Letters("events", 0),
        states=[],
        meta=PartitionMeta(),
        replayed=0,
        record=Row(offset=0, key=None, value=None, headers=[], timestamp=0),
        last=True,
        complete=True,
    )


def test_values_that_fit_no_profile_are_counted_by_kind() -> None:
    metrics = Metrics()
    figures = Figures(metrics, topic="events", wall=False)
    out = StandInOutputs(0)
    out.skipped = {"tag_value": 2, "trait": 0}
    figures.count(_flushed(out), 0.0)
    page = generate_latest(metrics.registry).decode()
    assert 'cuestream_values_skipped_total{kind="tag_value"} 2.0' in page
    assert 'kind="trait"' not in page


def test_hops_are_counted_by_kind_and_people_only_where_they_were_handed_over() -> None:
    metrics, out = Metrics(), StandInOutputs(0)
    answer = Answer(person="b", source="a", at=1, position=5, state=b"all of it")
    nothing = msgspec.structs.replace(answer, state=None)
    out.hops = [Ask(person="a", by="b", at=1), answer, nothing]
    Figures(metrics, topic="events", wall=False).count(_flushed(out), 0.0)
    page = generate_latest(metrics.registry).decode()
    assert 'cuestream_merge_hops_total{kind="ask"} 1.0' in page
    assert 'cuestream_merge_hops_total{kind="answer"} 2.0' in page
    assert "cuestream_people_merged_total 1.0" in page
