"""ST-LPIPS against golden numbers of its package, and its fast parts against plain ones."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from model_core.errors import InvalidInputError
from model_core.perceptual.stlpips import MIN_SIZE_PX, STLPIPS, BlurredConv2d
from model_core.weights.store import load_network

TRUNKS = ("alex", "vgg")
# Computed by stlpips-pytorch 0.0.2 (variant shift_tolerant) in float32 on `pairs()`.
GOLDEN = {
    ("alex", (128, 96)): (0.0456104, 0.5903804, 0.8866309),
    ("alex", (65, 63)): (0.0679235, 0.2748103, 0.8881875),
    ("vgg", (128, 96)): (0.0822100, 0.5496352, 0.9182398),
    ("vgg", (65, 63)): (0.0596236, 0.4510753, 0.8677530),
}
GOLDEN_TOLERANCE = 1e-5


def pairs(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A photo with itself moved by 3 px, with itself upside down, and with noise."""
    photo = torch.from_numpy(astronaut().astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
    crop = photo[:, 20 : 20 + height, 170 : 170 + width]
    moved = photo[:, 23 : 23 + height, 173 : 173 + width]
    noise = np.random.RandomState(0).uniform(-1, 1, (3, height, width)).astype(np.float32)
    return crop.expand(3, -1, -1, -1), torch.stack([moved, crop.flip(1), torch.from_numpy(noise)])


def loaded(cache: Path, trunk: str) -> STLPIPS:
    perceptual = STLPIPS(trunk)
    state_dict, _ = load_network(cache / "weights" / f"st-lpips-{trunk}.safetensors")
    perceptual.load_state_dict(state_dict)
    return perceptual


@pytest.fixture(scope="module")
def alex(cache: Path) -> STLPIPS:
    return loaded(cache, "alex")


@pytest.mark.parametrize("trunk", TRUNKS)
def test_agrees_with_the_package(cache: Path, trunk: str) -> None:
    perceptual = loaded(cache, trunk)
    for size in ((128, 96), (65, 63)):
        found = perceptual(*pairs(*size))
        assert found.tolist() == pytest.approx(GOLDEN[trunk, size], abs=GOLDEN_TOLERANCE)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_the_distance_is_named_after_its_trunk(trunk: str) -> None:
    with torch.device("meta"):
        assert STLPIPS(trunk).name == f"st-lpips-{trunk}"


def test_an_image_is_at_no_distance_from_itself(alex: STLPIPS) -> None:
    a, _ = pairs(64, 64)
    assert alex(a, a).tolist() == [0, 0, 0]


def test_a_batch_is_its_items_singly(alex: STLPIPS) -> None:
    a, b = pairs(64, 64)
    singly = torch.cat([alex(a[i : i + 1], b[i : i + 1]) for i in range(len(a))])
    torch.testing.assert_close(alex(a, b), singly, rtol=1e-5, atol=1e-7)


def test_one_target_is_compared_with_many(alex: STLPIPS) -> None:
    a, b = pairs(64, 64)
    target = alex.features(a[:1])
    torch.testing.assert_close(
        alex.distance(target, alex.features(b)), alex(a, b), rtol=1e-5, atol=1e-7
    )


def test_gradient_is_the_slope_of_the_distance(alex: STLPIPS) -> None:
    a, b = pairs(64, 64)
    a, b = a[:1], b[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(alex(a, b).sum(), b)
    step = 0.02 * gradient / gradient.norm()
    with torch.no_grad():
        slope = (alex(a, b + step) - alex(a, b - step)) / 0.04
    assert slope.item() == pytest.approx(gradient.norm().item(), rel=0.02)
    assert all(not p.requires_grad for p in alex.parameters())


def test_bfloat16_gives_nearly_the_same_distance_and_gradient(cache: Path, alex: STLPIPS) -> None:
    img, target = pairs(256, 256)
    fast = loaded(cache, "alex").bfloat16()
    found = []
    for distance in (alex, fast):
        x = img.clone().requires_grad_(True)
        values = distance(x, target)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        found.append((values.detach(), gradient.flatten(1)))
    (exact, slope), (rough, rough_slope) = found
    assert rough == pytest.approx(exact, rel=0.01)
    assert (torch.cosine_similarity(slope, rough_slope, dim=1) > 0.95).all()


def test_features_that_are_all_zero_are_equal() -> None:
    perceptual = STLPIPS("alex")
    for parameter in perceptual.stages.parameters():
        torch.nn.init.zeros_(parameter)
    a, b = pairs(64, 64)
    b = b.clone().requires_grad_()
    distance = perceptual(a, b)
    (gradient,) = torch.autograd.grad(distance.sum(), b)
    assert distance.tolist() == [0, 0, 0]
    assert gradient.isfinite().all()


@pytest.mark.parametrize("size", [(32, 32), (34, 50), (128, 64), (34, 51), (51, 34)])
def test_the_fast_stem_equals_the_reference(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    stem = BlurredConv2d(3, 8, 11, padding=2)
    img = torch.randn(2, 3, *size, requires_grad=True)
    fast, plain = stem(img), stem.plain(img)
    torch.testing.assert_close(fast, plain, rtol=0, atol=2e-6)
    weights = torch.randn_like(plain)
    (fast_gradient,) = torch.autograd.grad((fast * weights).sum(), img)
    (plain_gradient,) = torch.autograd.grad((plain * weights).sum(), img)
    torch.testing.assert_close(fast_gradient, plain_gradient, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (3, 3, 64, 32)])
def test_other_shapes_are_refused(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    # As in production, where nothing executes the shapes in signatures.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    perceptual = STLPIPS("alex")
    with pytest.raises(InvalidInputError, match="b must be shaped like a"):
        perceptual(torch.zeros(3, 3, 64, 64), torch.zeros(shape))


def test_small_images_are_refused() -> None:
    img = torch.zeros(1, 3, MIN_SIZE_PX, MIN_SIZE_PX - 1)
    with pytest.raises(InvalidInputError, match="sides of img must be at least 32 px, got"):
        STLPIPS("alex")(img, img)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_smallest_images_are_compared(trunk: str) -> None:
    img = torch.zeros(1, 3, MIN_SIZE_PX, MIN_SIZE_PX)
    assert STLPIPS(trunk)(img, img).tolist() == [0]


def test_other_trunks_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="trunk must be one of"):
        STLPIPS("squeeze")
