"""Stage times."""

import time

import pytest

from service.observability.metrics import Telemetry
from service.serving.batcher import Answer
from service.serving.timings import StageTimings


def answer(began_s, ended_s, queued_s=0.0, batch_size=1):
    """An answer whose run lay at the given times after some moment."""
    return Answer("x", queued_s, ended_s - began_s, batch_size, 1000.0 + ended_s)


def sampled(telemetry, stage, kind):
    labels = {"op": "embed", "stage": stage}
    name = f"wplus_inference_stage_duration_seconds_{kind}"
    return telemetry.registry.get_sample_value(name, labels)


def test_times_add_up_and_are_published():
    telemetry = Telemetry()
    stages = StageTimings("embed", telemetry)
    for _ in range(2):
        with stages.measure("decode"):
            time.sleep(0.01)
    times = stages.as_ms()
    assert times.keys() == {"decode", "total"}
    assert 20 <= times["decode"] <= times["total"]
    assert sampled(telemetry, "decode", "count") == 2
    assert sampled(telemetry, "decode", "sum") == pytest.approx(times["decode"] / 1000, abs=1e-5)


def test_an_answers_duration_and_share_are_published():
    telemetry = Telemetry()
    stages = StageTimings("embed", telemetry)
    assert stages.take("encode", answer(0.0, 0.2, queued_s=0.001, batch_size=4)) == "x"
    times = stages.as_ms()
    del times["total"]
    assert times == {"queue": 1.0, "encode": 200.0}
    assert sampled(telemetry, "encode", "sum") == pytest.approx(0.05)
    assert sampled(telemetry, "queue", "sum") == pytest.approx(0.001)


def test_overlapping_stages_count_once():
    stages = StageTimings("morph", Telemetry())
    for _ in range(4):  # one run of four
        stages.take("synthesize", answer(0.1, 0.3, queued_s=0.1, batch_size=4))
    for _ in range(2):  # the run after it, for which they waited meanwhile
        stages.take("synthesize", answer(0.3, 0.4, queued_s=0.3, batch_size=2))
    stages.take("synthesize", answer(0.45, 0.5, queued_s=0.15))
    times = stages.as_ms()
    assert times["synthesize"] == 350.0
    assert times["queue"] == 150.0  # until the first run, and between the last two


def test_a_failing_stage_is_timed_all_the_same():
    stages = StageTimings("embed", Telemetry())
    with pytest.raises(ZeroDivisionError), stages.measure("align"):
        raise ZeroDivisionError
    assert "align" in stages.as_ms()


def test_the_header_is_server_timing():
    stages = StageTimings("embed", Telemetry())
    stages.take("encode", answer(0.0, 0.01))
    assert stages.as_header().startswith("queue;dur=0.0, encode;dur=10.0, total;dur=")
