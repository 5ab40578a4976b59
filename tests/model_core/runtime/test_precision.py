import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.runtime import precision
from model_core.runtime.execution import Execution
from model_core.runtime.precision import choose_precision


@pytest.fixture(autouse=True)
def _afresh():
    choose_precision.cache_clear()
    yield
    choose_precision.cache_clear()


@pytest.fixture
def processor(monkeypatch):
    """Make a processor of given units and speeds."""

    def make(units, float32_s, bfloat16_s):
        seconds = {torch.float32: float32_s, torch.bfloat16: bfloat16_s}
        monkeypatch.setattr(precision, "bfloat16_units", lambda _device: units)
        monkeypatch.setattr(precision, "time_convolution", lambda _device, dtype: seconds[dtype])

    return make


def test_units_that_win_clearly_are_used(processor):
    processor(["amx_bf16"], float32_s=0.004, bfloat16_s=0.001)
    chosen = choose_precision()
    assert (chosen.dtype, chosen.name) == (torch.bfloat16, "bfloat16")
    assert "amx_bf16" in chosen.reason
    assert "1.0 ms in bfloat16 and 4.0 ms in float32" in chosen.reason


@pytest.mark.parametrize("bfloat16_s", [0.1, 0.0039])
def test_units_that_lose_the_probe_are_not_used(processor, bfloat16_s):
    processor(["avx512_bf16"], float32_s=0.004, bfloat16_s=bfloat16_s)
    assert choose_precision().dtype is torch.float32


def test_a_processor_without_bfloat16_units_is_not_probed(processor, monkeypatch):
    processor([], 1, 1)
    monkeypatch.setattr(precision, "time_convolution", None)
    chosen = choose_precision()
    assert chosen.dtype is torch.float32
    assert "no bfloat16 units" in chosen.reason


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_requested_dtype_is_used(processor, name):
    processor([], 1, 1)
    assert choose_precision("cpu", name).name == name


def test_other_names_are_refused():
    with pytest.raises(InvalidInputError, match="dtype must be auto, float32 or bfloat16"):
        choose_precision("cpu", "float16")


def test_the_faster_precision_on_this_processor_is_chosen():
    """The real probe, against a larger convolution than its own."""
    chosen = choose_precision()
    assert chosen.name in chosen.reason or "no bfloat16 units" in chosen.reason
    if not precision.bfloat16_units("cpu"):
        assert chosen.dtype is torch.float32
    threads = torch.get_num_threads()
    precision.probe("cpu")
    assert torch.get_num_threads() == threads


def test_the_eager_backend_is_float32_by_default(processor):
    processor(["amx_bf16"], float32_s=0.004, bfloat16_s=0.001)
    assert Execution.choose(backend="eager").precision.dtype is torch.float32
    assert Execution.choose(backend="eager", dtype="bfloat16").precision.dtype is torch.bfloat16
    assert Execution.choose(backend="auto").precision.dtype is torch.bfloat16
    assert Execution.choose(backend="auto", dtype="float32").precision.dtype is torch.float32


def test_autocast_is_on_for_bfloat16_alone():
    x = torch.ones(2, 2)
    with precision.BFLOAT16.autocast("cpu"):
        assert (x @ x).dtype is torch.bfloat16
    with precision.FLOAT32.autocast("cpu"):
        assert (x @ x).dtype is torch.float32
