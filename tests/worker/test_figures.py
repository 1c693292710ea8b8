"""What a flush counts, as a scrape shows it."""

from prometheus_client import generate_latest

from services.runtime.metrics import Metrics
from services.triggers.worker.figures import Figures
from services.triggers.worker.flushing import FlushBuilder
from services.triggers.worker.letters import Letters
from services.triggers.worker.reading import PartitionMeta
from tests.worker.driver import Row
from tests.worker.standin import StandInOutputs, stand_in


def test_values_that_fit_no_profile_are_counted_by_kind() -> None:
    metrics = Metrics()
    figures = Figures(metrics, topic="events", wall=False)
    out = StandInOutputs(0)
    out.skipped = {"tag_value": 2, "trait": 0}
    flush = FlushBuilder(stand_in(), 4).build(
        out,
        Letters("events", 0),
        states=[],
        meta=PartitionMeta(),
        replayed=0,
        record=Row(offset=0, key=None, value=None, headers=[], timestamp=0),
        last=True,
    )
    figures.count(flush, 0.0)
    page = generate_latest(metrics.registry).decode()
    assert 'cuestream_values_skipped_total{kind="tag_value"} 2.0' in page
    assert 'kind="trait"' not in page
