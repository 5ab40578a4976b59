"""Stage times."""

import pytest

from service.batcher import Answer
from service.stages import Stages
from service.telemetry import Telemetry


def test_times_add_up_and_are_published():
    telemetry = Telemetry()
    stages = Stages("embed", telemetry)
    stages.add("decode", 0.010)
    stages.add("decode", 0.005)
    value = stages.take("encode", Answer("x", queued_s=0.001, ran_s=0.2, batch_size=3))
    assert value == "x"
    times = stages.as_ms()
    assert times.pop("total") >= 0
    assert times == {"decode": 15.0, "queue": 1.0, "encode": 200.0}
    text = telemetry.exposition().decode()
    name = "wplus_inference_stage_duration_seconds_count"
    assert f'{name}{{op="embed",stage="decode"}} 2.0' in text


def test_a_failing_stage_is_timed_all_the_same():
    stages = Stages("embed", Telemetry())
    with pytest.raises(ZeroDivisionError), stages.measure("align"):
        raise ZeroDivisionError
    assert "align" in stages.as_ms()


def test_the_header_is_server_timing():
    stages = Stages("embed", Telemetry())
    stages.add("decode", 0.010)
    assert stages.as_header().startswith("decode;dur=10.0, total;dur=")
