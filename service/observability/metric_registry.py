"""The registry that every process fills with its metrics."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector


class MetricRegistry(CollectorRegistry):
    """Makes metrics under our prefix; includes those of the process and of Python itself."""

    def __init__(self) -> None:
        super().__init__()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every counter
        ProcessCollector(registry=self)
        PlatformCollector(registry=self)
        GCCollector(registry=self)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Make a counter; its samples end in `_total`."""
        return Counter(f"wplus_{name}", text, labels, registry=self)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Make a gauge."""
        return Gauge(f"wplus_{name}", text, labels, registry=self)

    def histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        """Make a histogram with buckets up to the given edges."""
        return Histogram(f"wplus_{name}", text, labels, buckets=buckets, registry=self)
