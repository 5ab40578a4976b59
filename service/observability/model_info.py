"""The metric that names the weight files in use, as they run at the time of the scrape."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

LABELS = ("model", "sha256", "dtype", "device", "backend")


class ModelInfo(Collector):
    """Asks for the backend at every scrape, as the compiled form replaces its fallback later."""

    def __init__(self) -> None:
        self._digests: Mapping[str, str] = {}
        self._about: Callable[[], tuple[str, str, str]] = lambda: ("", "", "")

    def publish(
        self, digests: Mapping[str, str], dtype: str, device: str, backend: Callable[[], str]
    ) -> None:
        """Publish the digest of every weight file in use, and how the networks run.

        Args:
            digests: SHA-256 by file name.
            dtype: What the networks compute in.
            device: Where they run.
            backend: Answers how the generator runs at present.
        """
        self._digests, self._about = digests, lambda: (dtype, device, backend())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metric."""
        family = GaugeMetricFamily("wplus_model_info", "A weight file in use.", labels=LABELS)
        for model, sha256 in self._digests.items():
            family.add_metric([model, sha256, *self._about()], 1)
        yield family
