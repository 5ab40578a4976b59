import torch

from model_core.images import to_float, to_uint8


def test_bytes_come_back_unchanged():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(every)), every)


def test_the_ends_of_both_scales_meet():
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_values_are_clamped_and_rounded():
    img = torch.tensor([-3.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.001])
    assert to_uint8(img).tolist() == [0, 0, 1, 255]
