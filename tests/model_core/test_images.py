import pytest
import torch
import torch.nn.functional as F

from model_core.images import area_average, to_float, to_uint8


def test_bytes_come_back_unchanged():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(every)), every)


def test_the_ends_of_both_scales_meet():
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_values_are_clamped_and_rounded():
    img = torch.tensor([-3.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.001])
    assert to_uint8(img).tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("side_px", [48, 50, 16, 8])  # a multiple of 16, none, 16 itself, less
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_areas_are_averaged_as_by_pooling(side_px, layout):
    img = torch.rand(2, 3, side_px, side_px, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = img.clone()
    found = area_average(img.contiguous(memory_format=layout), 16)
    torch.testing.assert_close(found, F.adaptive_avg_pool2d(img, 16))
    assert torch.equal(img, before)
