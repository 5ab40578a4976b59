import jaxtyping
import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.latents.editing import colorize, interpolate, morph, move


@pytest.fixture
def codes():
    random = torch.Generator().manual_seed(0)
    return torch.randn(2, 18, 512, generator=random), torch.randn(2, 18, 512, generator=random)


def test_lam_one_is_the_first_and_zero_the_second(codes):
    a, b = codes
    assert torch.equal(morph(a, b, 1.0), a)
    assert torch.equal(morph(a, b, 0.0), b)
    assert torch.allclose(morph(a, b, 0.3), 0.3 * a + 0.7 * b, atol=1e-6)


def test_frames_go_from_the_first_to_the_second(codes):
    a, b = codes
    frames = interpolate(a, b, 5)
    assert frames.shape == (5, 2, 18, 512)
    assert torch.equal(frames[0], a)
    assert torch.equal(frames[-1], b)
    assert torch.allclose(frames[1:] - frames[:-1], (b - a) / 4, atol=1e-5)


def test_only_the_rows_of_the_range_are_blended(codes):
    a, b = codes
    ws = morph(a, b, 0.5, first_row=4, last_row=7)
    assert torch.allclose(ws[:, 4:8], (a + b)[:, 4:8] / 2, atol=1e-6)
    assert torch.equal(ws[:, :4], b[:, :4])
    assert torch.equal(ws[:, 8:], b[:, 8:])
    frames = interpolate(a, b, 3, first_row=4, last_row=7)
    assert torch.equal(frames[1], ws)
    assert torch.equal(frames[0, :, 4:8], a[:, 4:8])
    assert torch.equal(frames[0, :, 8:], b[:, 8:])


def test_colorize_takes_the_last_ten_rows(codes):
    gray, color = codes
    ws = colorize(gray, color)
    assert torch.equal(ws[:, :8], gray[:, :8])
    assert torch.equal(ws[:, 8:], color[:, 8:])


def test_strength_blends_the_fine_rows_only(codes):
    gray, color = codes
    ws = colorize(gray, color, first_row=10, strength=0.25)
    assert torch.equal(ws[:, :10], gray[:, :10])
    assert torch.allclose(ws[:, 10:], 0.75 * gray[:, 10:] + 0.25 * color[:, 10:], atol=1e-6)


def test_moving_adds_the_step_by_strength_and_back_takes_it_away(codes):
    a, b = codes
    ws = move(a, b[0], 1.5)
    assert torch.allclose(ws - a, 1.5 * b[0].expand(2, -1, -1), atol=1e-5)
    assert torch.allclose(move(ws, b[0], -1.5), a, atol=1e-5)


def test_inputs_are_not_modified(codes):
    before = [ws.clone() for ws in codes]
    morph(*codes, 0.5)
    morph(*codes, 0.5, 4, 7)
    interpolate(*codes, 2)
    colorize(*codes)
    assert all(torch.equal(x, y) for x, y in zip(codes, before, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: morph(a, b, 1.5), "lam must be from 0 to 1, got 1.5"),
        (lambda a, b: morph(a, b, float("nan")), "lam must be"),
        (lambda a, b: morph(a, b, 0.5, first_row=-1), "first_row must be from 0 to 17, got -1"),
        (lambda a, b: morph(a, b, 0.5, 4, 3), "last_row must be from 4 to 17, got 3"),
        (lambda a, b: morph(a, b, 0.5, 4, 18), "last_row must be from 4 to 17, got 18"),
        (lambda a, b: interpolate(a, b, 1), "steps must be 2 or more, got 1"),
        (lambda a, b: colorize(a, b, first_row=18), "first_row must be from 0 to 17, got 18"),
        (lambda a, b: colorize(a, b, strength=-0.1), "strength must be"),
        (lambda a, b: move(a, b[0], float("inf")), "strength must be finite, got inf"),
    ],
)
def test_bad_values_are_named(codes, call, message):
    with pytest.raises(InvalidInputError, match=message):
        call(*codes)


@pytest.mark.parametrize("edit", [lambda a, b: morph(a, b, 0.5), colorize])
def test_codes_of_different_shapes_are_refused(codes, edit, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    a, b = codes
    message = r"codes must have the same shape, got \(2, 18, 512\) and \(1, 18, 512\)"
    with pytest.raises(InvalidInputError, match=message):
        edit(a, b[:1])


def test_a_step_of_another_shape_is_refused(codes, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    message = r"step must have the shape of a code \(18, 512\), got \(512,\)"
    with pytest.raises(InvalidInputError, match=message):
        move(codes[0], codes[1][0, 0], 1.0)
