import torch
from torch.nn import functional as F

from model_core.latents.carrying import REACH, carry

PX = 32


def scene(seed=0):
    """Features without two like places, and a detail."""
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 64, PX, PX, generator=random)
    detail = torch.randn(1, 4, PX, PX, generator=random)
    return F.avg_pool2d(features, 3, 1, 1), F.avg_pool2d(detail, 5, 1, 2)


def inside(x, margin):
    return x[..., margin:-margin, margin:-margin]


def test_a_detail_moves_along_with_the_features():
    features, detail = scene()
    for shift in ((3, -5), (0, REACH), (-REACH, 1)):
        moved = torch.roll(features, shift, (2, 3))
        expected = torch.roll(detail, shift, (2, 3))
        carried = carry(detail, features, moved)
        assert inside(carried - expected, REACH + 2).abs().mean() < 0.1 * detail.abs().mean()


def test_unchanged_features_keep_their_detail():
    features, detail = scene()
    carried = carry(detail, features, features)
    assert (carried - detail).abs().mean() < 0.1 * detail.abs().mean()


def test_flat_regions_keep_their_detail():
    """Where every place resembles every other one, the nearest counts most."""
    flat = torch.ones(1, 64, PX, PX)
    _, detail = scene()
    smooth = F.avg_pool2d(detail, 9, 1, 4)
    assert (inside(carry(smooth, flat, flat) - smooth, 12)).abs().max() < 0.3


def test_a_batch_is_its_items_and_px_may_be_any_multiple_of_a_block():
    features = torch.cat([scene(0)[0], scene(1)[0]])
    detail = torch.cat([scene(0)[1], scene(1)[1]])
    new = torch.roll(features, (2, 2), (2, 3))
    both = carry(detail, features, new)
    for i in range(2):
        one = carry(detail[i : i + 1], features[i : i + 1], new[i : i + 1])
        assert torch.allclose(one[0], both[i], atol=1e-4)
