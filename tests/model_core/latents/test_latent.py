import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.latents.latent import Detail, Latent, blend, check_detail

SHAPE = (8, 16, 16)


def test_an_edited_latent_keeps_its_detail_and_home():
    ws = torch.zeros(18, 512)
    detail = Detail(torch.ones(*SHAPE).half(), ws)
    moved = Latent(ws, detail).moved_to(ws + 1)
    assert torch.equal(moved.ws, ws + 1)
    assert moved.detail is detail


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_detail_of_any_floats_is_taken(dtype):
    taken = check_detail(torch.full(SHAPE, 0.5, dtype=dtype), SHAPE)
    assert (taken.dtype, taken.shape) == (torch.float16, SHAPE)
    assert (taken == 0.5).all()


@pytest.mark.parametrize(
    ("tensor", "rule"),
    [
        (torch.zeros(8, 16, 8), "shape"),
        (torch.zeros(1, *SHAPE), "shape"),
        (torch.zeros(SHAPE, dtype=torch.int64), "floats"),
        (torch.full(SHAPE, torch.nan), "finite"),
        (torch.full(SHAPE, torch.inf), "finite"),
        (torch.full(SHAPE, 1e4), "within 1000"),
    ],
)
def test_others_are_refused(tensor, rule):
    with pytest.raises(InvalidInputError, match=rule):
        check_detail(tensor, SHAPE)


def test_details_are_blended_as_codes_are():
    a, b = torch.full(SHAPE, 2.0).half(), torch.full(SHAPE, 4.0).half()
    assert (blend(a, b, 0.25) == 3.5).all()
    assert torch.equal(blend(a, b, 1.0), a)
    assert torch.equal(blend(a, b, 0.0), b)
    assert (blend(None, b, 0.25) == 3.0).all()
    assert (blend(a, None, 0.25) == 0.5).all()
    assert blend(None, None, 0.5) is None
