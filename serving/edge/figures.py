"""What a device at the edge adds to the service's figures: who answered, and what waits for the cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.edge.outbox import Outbox
from serving.telemetry.metrics import Metrics


class EdgeFigures:
    """Counts beside `serving.telemetry.metrics.Metrics`, on one page with it.

    Args:
        metrics: The service's own.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics, self._registry = metrics, CollectorRegistry()
        self._answers = Counter(
            "maskloop_edge_answers", "Answers.", ("answered_by", "cause"), registry=self._registry
        )
        self._sent = Counter(
            "maskloop_edge_sent", "Samples sent to the cloud service.", ("outcome",), registry=self._registry
        )

    def answered(self, by: str, cause: str) -> None:
        """Count an answer: by ``edge`` or ``cloud``, and in a word why."""
        self._answers.labels(by, cause).inc()

    def sent(self, outcome: str) -> None:
        """Count a sample: ``sent`` or ``refused``."""
        self._sent.labels(outcome).inc()

    def watch(self, outbox: Outbox) -> None:
        """Show from now on what waits in an outbox."""
        self._registry.register(_OutboxFigures(outbox.counts))

    def render(self) -> tuple[bytes, str]:
        """Return the page for Prometheus and its content type."""
        page, content_type = self._metrics.render()
        return page + generate_latest(self._registry), content_type


class _OutboxFigures(Collector):
    def __init__(self, read: Callable[[], tuple[int, int, int]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        names = {
            "maskloop_edge_outbox_samples": "Samples that wait for the cloud service.",
            "maskloop_edge_outbox_bytes": "Their bytes.",
            "maskloop_edge_outbox_dropped": "Samples dropped for lack of room since the outbox was made.",
        }
        for (name, text), value in zip(names.items(), self._read(), strict=True):
            yield GaugeMetricFamily(name, text, value=value)
