"""Figures against their definitions, on images whose answer is known, and against scikit-image."""

import math
from collections.abc import Callable

import jaxtyping
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.metrics import structural_similarity
from torch import Tensor

from model_core.errors import InvalidInputError
from model_core.metrics import pixels

Metric = Callable[[Tensor, Tensor], Tensor]
IMAGE_METRICS = (pixels.mse, pixels.psnr, pixels.ssim)
DESCRIPTOR_METRICS = (pixels.identity_similarity,)


@pytest.fixture
def photos() -> tuple[Tensor, Tensor]:
    """Two crops of one photo, 80x64 px, and the same with noise."""
    photo = torch.from_numpy(astronaut().astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
    a = torch.stack([photo[:, 40:120, 180:244], photo[:, 300:380, 20:84]])
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    return a, (a + noise * torch.tensor([0.1, 0.5]).view(2, 1, 1, 1)).clamp(-1, 1)


def test_mse_of_black_and_white_is_4() -> None:
    black, white = -torch.ones(2, 3, 16, 16), torch.ones(2, 3, 16, 16)
    white[1] = 0  # grey
    assert pixels.mse(black, white).tolist() == [4, 1]


def test_psnr_has_a_peak_of_2() -> None:
    black, grey = -torch.ones(1, 3, 16, 16), torch.full((1, 3, 16, 16), -0.8)
    assert pixels.psnr(black, grey).item() == pytest.approx(10 * math.log10(4 / 0.04))


def test_psnr_of_bytes_is_the_same(photos: tuple[Tensor, Tensor]) -> None:
    a, b = ((each + 1) * 127.5 for each in photos)
    expected = [
        10 * math.log10(255**2 / (x - y).square().mean()) for x, y in zip(a, b, strict=True)
    ]
    assert pixels.psnr(*photos).tolist() == pytest.approx(expected, rel=1e-5)


def test_psnr_of_equal_images_is_infinite(photos: tuple[Tensor, Tensor]) -> None:
    assert pixels.psnr(photos[0], photos[0]).tolist() == [math.inf, math.inf]


def test_ssim_agrees_with_scikit_image(photos: tuple[Tensor, Tensor]) -> None:
    a, b = ((each + 1).permute(0, 2, 3, 1).numpy() for each in photos)
    expected = [
        structural_similarity(
            x,
            y,
            channel_axis=2,
            data_range=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert pixels.ssim(*photos).tolist() == pytest.approx(expected, abs=1e-5)


def test_ssim_of_equal_images_is_1(photos: tuple[Tensor, Tensor]) -> None:
    assert pixels.ssim(photos[0], photos[0]).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_ssim_is_exact_under_autocast(photos: tuple[Tensor, Tensor]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        under = pixels.ssim(*photos)
    torch.testing.assert_close(under, pixels.ssim(*photos), rtol=0, atol=0)


def test_ssim_needs_a_window() -> None:
    img = torch.zeros(1, 3, 11, 10)
    with pytest.raises(InvalidInputError, match=r"sides of a must be at least 11 px, got \(11, 10"):
        pixels.ssim(img, img)
    assert pixels.ssim(torch.zeros(1, 3, 11, 11), torch.zeros(1, 3, 11, 11)).tolist() == [1]


def test_identity_similarity_is_the_cosine() -> None:
    a, b = torch.zeros(3, 128), torch.zeros(3, 128)
    a[:, 0] = 2
    b[0, 0], b[1, 1] = 5, 5
    b[2, :2] = 1
    assert pixels.identity_similarity(a, b).tolist() == pytest.approx([1, 0, math.sqrt(0.5)])


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_a_batch_of_images_is_its_items_singly(
    metric: Metric, photos: tuple[Tensor, Tensor]
) -> None:
    a, b = photos
    singly = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(len(a))])
    torch.testing.assert_close(metric(a, b), singly)


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_other_image_shapes_are_refused(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in production, where nothing executes the shapes in signatures.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InvalidInputError, match="b must be shaped like a"):
        metric(torch.zeros(2, 3, 16, 16), torch.zeros(2, 1, 16, 16))


@pytest.mark.parametrize("metric", DESCRIPTOR_METRICS)
def test_other_descriptor_shapes_are_refused(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InvalidInputError, match="b must be shaped like a"):
        metric(torch.zeros(2, 128), torch.zeros(1, 128))
