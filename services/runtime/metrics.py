"""Prometheus objects built from the one list in `services.contracts.metrics`."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from services.contracts.metrics import METRICS, Metric


class Metrics:
    """One process's metrics: a registry of its own, so that tests never share counters.

    `counter`, `gauge` and `histogram` take an entry of the list; asking with the wrong kind
    or for an entry that is not listed raises `KeyError`.
    """

    def __init__(self, listed: Iterable[Metric] = METRICS) -> None:
        self.registry: Final = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        ProcessCollector(registry=self.registry)
        for metric in listed:
            help_ = f"{metric.meaning} Unit: {metric.unit}."
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(
                    metric.name, help_, metric.labels, registry=self.registry
                )
            elif metric.kind == "gauge":
                self._gauges[metric.name] = Gauge(
                    metric.name, help_, metric.labels, registry=self.registry
                )
            else:
                self._histograms[metric.name] = Histogram(
                    metric.name,
                    help_,
                    metric.labels,
                    registry=self.registry,
                    buckets=metric.buckets,
                )

    def counter(self, metric: Metric) -> Counter:
        """The counter of this entry."""
        return self._counters[metric.name]

    def gauge(self, metric: Metric) -> Gauge:
        """The gauge of this entry."""
        return self._gauges[metric.name]

    def histogram(self, metric: Metric) -> Histogram:
        """The histogram of this entry."""
        return self._histograms[metric.name]
