"""Small images, whole and cut where details correct the features."""

import subprocess
import sys

import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.generators.image_head import ImageHead
from model_core.inversion.rendering import DetailImages, SmallImages
from model_core.runtime.detail import DetailEncoding
from model_core.runtime.execution import Execution
from tests.model_core.tiny import DETAIL_FINGERPRINT, SHAPE, tiny_encoder, tiny_generator

WS = 0.3 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(3)) + 0.1


def image_head(generator):
    return ImageHead.above(generator, 5).eval().requires_grad_(False)


@pytest.mark.parametrize("size_px", [32, 256])
@pytest.mark.parametrize("by_head", [False, True])
def test_features_and_tail_are_the_whole(size_px, by_head):
    generator = tiny_generator()
    head = image_head(generator) if by_head else None
    images = SmallImages(generator, size_px, head)
    assert torch.allclose(images.tail(images.features(WS, 3), WS, 3), images(WS), atol=1e-4)


def test_a_generator_that_is_not_folded_is_not_split():
    images = SmallImages(tiny_generator(), 32, folded=False)
    with pytest.raises(InvalidInputError, match="must be a folded MobileStyleGAN"):
        images.tail(torch.zeros(1, 8, 8, 8), WS, 3)


def test_images_with_details_are_those_of_the_corrected_features():
    generator = tiny_generator()
    encoder = tiny_encoder(generator, 32)
    adapted = DetailEncoding(generator, encoder, DETAIL_FINGERPRINT, Execution(backend="eager"))
    images = DetailImages(SmallImages(generator, 32), adapted.encoder, torch.float32)
    details = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    found = images(images.features(WS), details, WS)
    corrected = generator.features(WS, 3) + encoder.decode(details)
    expected = torch.nn.functional.adaptive_avg_pool2d(generator.tail(corrected, WS, 3), 32)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
    plain = images(images.features(WS), torch.zeros_like(details), WS)
    assert torch.allclose(plain, images.images(WS), atol=1e-4)


COMPILED = """
import torch
from model_core.inversion.rendering import DetailImages, SmallImages, defer_detail_images
from model_core.runtime.background import CompileQueue
from model_core.runtime.detail import DetailEncoding
from model_core.runtime.execution import Execution
from tests.model_core.inversion.test_rendering import WS, image_head
from tests.model_core.tiny import tiny_encoder, tiny_generator

generator = tiny_generator()
encoder, eager = tiny_encoder(generator, 32), Execution(backend="eager")
encoding = DetailEncoding(generator, encoder, "d" * 64, eager)
images = DetailImages(
    SmallImages(generator, 32, image_head(generator)), encoding.encoder, torch.float32
)
queue = CompileQueue()
serve = defer_detail_images(queue, "detail refiner", images, encoding.encoder)
serve._race = lambda fallback, made: setattr(serve, "_form", made)  # whichever is faster
serve.compile()
torch._dynamo.config.error_on_recompile = True
features = images.features(WS)
for _ in range(2):
    unit, rows = torch.rand(1, 4, 1), torch.randn(1, 4, 64, requires_grad=True)
    gradients = []
    for render in (serve, images):
        details = (rows * unit).unflatten(2, (8, 8))
        img = render(features, details, WS)
        (gradient,) = torch.autograd.grad(img.square().mean(), rows)
        gradients.append(gradient)
    assert torch.allclose(*gradients, rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        details = details.detach()
        assert torch.allclose(
            serve(features, details, WS), images(features, details, WS), rtol=1e-3, atol=1e-3
        )
"""


@pytest.mark.slow
def test_steps_on_details_are_compiled_once():
    # In a process of its own: what is compiled anew raises there, and only there.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=900)
