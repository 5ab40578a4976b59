"""Prometheus metrics of a worker, in a registry of their own; seconds."""

from service.observability.metric_registry import MetricRegistry

STEP_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
JOB_BUCKETS_S = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
STATES = ("succeeded", "failed", "cancelled")


class WorkerTelemetry:
    """The metrics, as attributes."""

    def __init__(self) -> None:
        self.registry = registry = MetricRegistry()
        counter, gauge, histogram = registry.counter, registry.gauge, registry.histogram
        self.finished = counter("jobs_finished", "Jobs that this worker ended.", "state")
        self.redelivered = counter("jobs_redelivered", "Jobs taken over from another worker.")
        self.dead_lettered = counter("jobs_dead_lettered", "Jobs that crashed too many workers.")
        self.fenced = counter("jobs_fenced_writes", "Writes refused after the job had moved.")
        self.steps = counter("job_steps", "Steps of the iterator.")
        self.film_frames = counter(
            "film_frames", "Frames of films, read, edited or joined.", "phase"
        )
        self.redis_errors = counter("redis_errors", "Calls that Redis did not answer.", "op")
        self.wait = histogram("job_wait_seconds", "Time from submission to start.", JOB_BUCKETS_S)
        self.run = histogram("job_run_seconds", "Time from start to end.", JOB_BUCKETS_S)
        self.step = histogram("job_step_duration_seconds", "Time of one step.", STEP_BUCKETS_S)
        self.busy = gauge("worker_busy", "Whether a job is being worked on.")
        self.heartbeat = gauge(
            "worker_last_heartbeat_timestamp_seconds", "When Redis last answered this worker."
        )
        for state in STATES:
            self.finished.labels(state=state)
