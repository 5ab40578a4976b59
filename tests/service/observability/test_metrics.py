"""Metrics: names that dashboards rest on, labels that stay bounded."""

import re

from service.observability.metrics import Telemetry

EXPOSED = {
    "wplus_inference_requests_total",
    "wplus_rejected_total",
    "wplus_auth_failures_total",
    "wplus_oom_total",
    "wplus_image_rejected_total",
    "wplus_http_server_request_duration_seconds",
    "wplus_inference_stage_duration_seconds",
    "wplus_batch_size",
    "wplus_upload_bytes",
    "wplus_redis_errors_total",
    "wplus_films_submitted_total",
    "wplus_films_queued",
    "wplus_films_bytes",
    "wplus_films_swept_total",
    "wplus_jobs_submitted_total",
    "wplus_jobs_queued",
    "wplus_jobs_pending",
    "wplus_jobs_oldest_queued_age_seconds",
    "wplus_http_server_active_requests",
    "wplus_inflight",
    "wplus_latents",
    "wplus_device_memory_bytes",
    "wplus_batch_queue_depth",
    "wplus_batch_queue_limit",
    "wplus_ready",
    "wplus_engine_up",
    "wplus_model_info",
    "wplus_build_info",
    "wplus_model_load_seconds",
    "wplus_warmup_seconds",
}


def test_names_are_those_that_dashboards_know():
    text = Telemetry().exposition().decode()
    assert set(re.findall(r"^# TYPE (wplus_\w+) ", text, re.MULTILINE)) == EXPOSED
    assert "process_resident_memory_bytes" in text


def test_instances_share_nothing():
    first, second = Telemetry(), Telemetry()
    first.dropped("expired")
    assert 'wplus_rejected_total{reason="queue_expired"} 1.0' in first.exposition().decode()
    assert "queue_expired" not in second.exposition().decode()


def test_every_weight_file_is_named_with_its_digest():
    telemetry = Telemetry()
    served_by = ["openvino"]
    telemetry.model_info.publish(
        {"a.safetensors": "12ab"}, "bfloat16", "cpu", lambda: served_by[-1]
    )
    for backend in ("openvino", "compile"):
        served_by.append(backend)
        text = telemetry.exposition().decode()
        assert text.count("wplus_model_info{") == 1
        (line,) = (row for row in text.splitlines() if row.startswith("wplus_model_info{"))
        for label in (f'backend="{backend}"', 'dtype="bfloat16"', 'sha256="12ab"'):
            assert label in line


def test_outcomes_start_at_zero():
    text = Telemetry().exposition().decode()
    assert 'wplus_inference_requests_total{op="embed",outcome="error"} 0.0' in text
