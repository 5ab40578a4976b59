import numpy as np
import pytest

from model_core.films.smoothing import CODES, CROPS, NONE, Smoother

TIMES = np.arange(40) / 25


@pytest.mark.parametrize(
    ("smoother", "powers"), [(CODES, (0, 1)), (CROPS, (0, 1, 2)), (NONE, (0, 1, 2, 3))]
)
def test_what_a_polynomial_describes_stays(smoother, powers):
    for power in powers:
        values = ((TIMES - 0.3) ** power)[:, None, None] * np.ones((1, 2, 3))
        assert np.allclose(smoother.smooth(TIMES, values, TIMES), values, atol=1e-8)


@pytest.mark.parametrize("smoother", [CODES, CROPS])
def test_there_is_no_lag(smoother):
    wave = np.sin(2 * np.pi * TIMES)
    inner = slice(8, -8)
    smooth = smoother.smooth(TIMES, wave, TIMES)[inner]
    lags = [float(smooth @ np.sin(2 * np.pi * (TIMES[inner] - lag / 25))) for lag in (-1, 0, 1)]
    assert np.argmax(lags) == 1
    assert lags[0] == pytest.approx(lags[2], rel=0.02)


@pytest.mark.parametrize(("smoother", "share"), [(CODES, 0.55), (CROPS, 0.75)])
def test_noise_becomes_less(smoother, share):
    noise = np.random.default_rng(0).normal(size=(400, 8))
    times = np.arange(400) / 25
    smooth = smoother.smooth(times, noise, times)
    assert smooth.std() < share * noise.std()
    assert np.diff(smooth, axis=0).std() < share * np.diff(noise, axis=0).std()


def test_frames_may_be_missing_and_unevenly_spaced():
    times = np.array([0.0, 0.03, 0.05, 0.2, 0.21, 0.3])
    at = np.array([0.1, 0.15])
    assert np.allclose(CODES.smooth(times, 3 * times + 1, at), 3 * at + 1)


def test_one_value_is_itself():
    assert np.allclose(CROPS.smooth(np.array([1.0]), np.array([[5.0]]), np.array([1.0])), 5)
    assert Smoother(0.1, 2).weights(np.array([0.0, 9.0]), 0.0) == pytest.approx([1, 0], abs=1e-6)
