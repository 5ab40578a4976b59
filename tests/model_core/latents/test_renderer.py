"""Rendering latents by a small generator, with and without a detail encoder."""

import numpy as np
import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.latents.latent import Detail, Latent
from model_core.latents.renderer import LatentRenderer
from model_core.runtime.execution import Execution
from tests.model_core.tiny import DETAIL_FINGERPRINT, tiny_encoder, tiny_generator

FACES_PX = 256


def make_renderer(detail):
    generator = tiny_generator()
    encoder = (tiny_encoder(generator, FACES_PX), DETAIL_FINGERPRINT) if detail else None
    return LatentRenderer(generator, Execution("cpu", "eager"), "tiny", encoder)


@pytest.fixture(scope="module")
def renderer():
    return make_renderer(detail=True)


@pytest.fixture(scope="module")
def codes(renderer):
    return torch.cat([renderer.sample(seed, 1.0) for seed in range(2)])


@pytest.fixture(scope="module")
def details(renderer, codes):
    faces = np.random.default_rng(0).integers(0, 256, (2, FACES_PX, FACES_PX, 3), np.uint8)
    return renderer.encode_detail(faces, codes)


def test_latents_are_rendered_with_the_details_that_they_have(renderer, codes, details):
    bare, whole = Latent(codes[0]), Latent(codes[1], Detail(details[1], codes[1]))
    images = renderer.render([bare, whole])
    assert np.array_equal(images[:1], renderer.synthesize(codes[:1]))
    assert np.array_equal(images[1:], renderer.synthesize(codes[1:], details[1:]))
    assert not np.array_equal(images[1:], renderer.synthesize(codes[1:]))


def test_a_detail_is_carried_only_where_the_code_changes_below_the_colours(
    renderer, codes, details
):
    recoloured, posed = codes.clone(), codes.clone()
    recoloured[:, 9:] += 1
    posed[:, :4] += 1
    assert torch.equal(renderer.carry_detail(details, codes, recoloured), details)
    carried = renderer.carry_detail(details, codes, posed)
    assert (carried.shape, carried.dtype) == (details.shape, torch.float16)
    assert not torch.equal(carried, details)


def test_a_blend_has_the_share_of_each_detail_carried_to_its_code(renderer, codes, details):
    between = codes.mean(0)
    a = Latent(codes[0], Detail(details[0], codes[0]))
    blended = renderer.blend(a, Latent(codes[1]), 0.25, between)
    carried = renderer.carry_detail(details[:1], codes[:1], between[None])[0]
    assert torch.equal(blended.detail.tensor, (carried.float() * 0.25).half())
    assert torch.equal(blended.detail.home, between)
    assert renderer.blend(Latent(codes[0]), Latent(codes[1]), 0.5, between).detail is None


def test_without_a_detail_encoder_codes_are_rendered_alone(codes, details):
    renderer = make_renderer(detail=False)
    assert (renderer.detail_shape, renderer.detail_digest) == (None, None)
    assert renderer.render([Latent(codes[0])]).shape == (1, 256, 256, 3)
    with pytest.raises(InvalidInputError, match="needs a detail encoder for tiny, got none"):
        renderer.synthesize(codes, details)
