"""Prometheus metrics of one process, in a registry of their own.

Names and labels follow the OpenTelemetry conventions where they have one. Label values are bounded:
route templates rather than paths, and no ids. Units are seconds and bytes.
"""

from prometheus_client import generate_latest

from service.observability.metric_registry import MetricRegistry
from service.observability.model_info import ModelInfo

REQUEST_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
UPLOAD_BUCKETS_BYTES = (10_000, 100_000, 500_000, 1e6, 2e6, 5e6, 1e7, 2e7, 4e7, 1e8, 3e8)
OPERATIONS = (
    "embed",
    "quality",
    "morph",
    "colorize",
    "merge",
    "edit",
    "generate",
    "refine",
    "films",
)
OTHER = "other"  # a path that names no operation
OUTCOMES = ("ok", "invalid", "no_face", "rejected", "timeout", "cancelled", "error")


def operation_of(path: str) -> str:
    """Return the operation that a path names, else OTHER, so that callers cannot invent labels."""
    op = path.strip("/")
    return op if op in OPERATIONS else OTHER


class Telemetry:
    """The metrics, as attributes; none is shared between instances."""

    def __init__(self) -> None:
        self.registry = registry = MetricRegistry()
        counter, gauge, histogram = registry.counter, registry.gauge, registry.histogram
        self.requests = counter(
            "inference_requests", "Inference requests by outcome.", "op", "outcome"
        )
        self.rejected = counter("rejected", "Requests or queue entries refused.", "reason")
        self.auth_failures = counter("auth_failures", "Requests without a valid key.", "reason")
        self.oom = counter("oom", "Device runs that ran out of memory.", "op")
        self.image_rejected = counter("image_rejected", "Photos rejected on upload.", "reason")
        self.request_duration = histogram(
            "http_server_request_duration_seconds",
            "Time from the first byte in to the last byte out.",
            REQUEST_BUCKETS_S,
            "http_request_method",
            "http_route",
            "http_response_status_code",
        )
        self.stage_duration = histogram(
            "inference_stage_duration_seconds",
            "Time of one stage of a request; its share of a batch.",
            STAGE_BUCKETS_S,
            "op",
            "stage",
        )
        self.batch_size = histogram(
            "batch_size", "Entries in a device run.", BATCH_BUCKETS, "stage"
        )
        self.upload_bytes = histogram(
            "upload_bytes", "Size of request bodies.", UPLOAD_BUCKETS_BYTES, "op"
        )
        self.redis_errors = counter("redis_errors", "Calls that Redis did not answer.", "op")
        self.jobs_submitted = counter("jobs_submitted", "Refine jobs accepted.")
        self.jobs_queued = gauge("jobs_queued", "Refine jobs waiting.")
        self.films_queued = gauge("films_queued", "Films waiting.")
        self.films_submitted = counter("films_submitted", "Films accepted.")
        self.films_bytes = gauge("films_bytes", "Bytes of films on disk, results included.")
        self.films_swept = counter("films_swept", "Folders of films removed without their job.")
        self.jobs_pending = gauge("jobs_pending", "Refine jobs that workers hold or handed back.")
        self.jobs_oldest_queued_age = gauge(
            "jobs_oldest_queued_age_seconds", "How long the first job in the queue has waited."
        )
        self.active_requests = gauge("http_server_active_requests", "Requests being served.")
        self.inflight = gauge("inflight", "Requests inside the gate.", "op")
        self.latents = gauge("latents", "Latent ids kept.")
        self.queue_depth = gauge("batch_queue_depth", "Entries waiting for the device.", "stage")
        self.queue_limit = gauge("batch_queue_limit", "Most entries that may wait per operation.")
        self.ready = gauge("ready", "Whether a component is ready.", "component")
        self.engine_up = gauge("engine_up", "Whether the engine can answer.")
        self.model_info = ModelInfo()
        self.registry.register(self.model_info)
        self.build_info = gauge("build_info", "Version of the service.", "version")
        self.model_load_seconds = gauge("model_load_seconds", "Time the weights took to load.")
        self.warmup_seconds = gauge("warmup_seconds", "Time the warm-up took.")
        self.device_memory = gauge(
            "device_memory_bytes", "Memory of the accelerator in use.", "device", "kind"
        )
        self._seed_labels()

    def dropped(self, reason: str) -> None:
        """Count a queue entry that was dropped before it ran."""
        self.rejected.labels(reason=f"queue_{reason}").inc()

    def exposition(self) -> bytes:
        """Render all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _seed_labels(self) -> None:
        """Start the counters that alerts use at 0 instead of leaving them absent."""
        for op in OPERATIONS:
            for outcome in OUTCOMES:
                self.requests.labels(op=op, outcome=outcome)
        for reason in ("scheme", "missing", "unknown"):
            self.auth_failures.labels(reason=reason)
