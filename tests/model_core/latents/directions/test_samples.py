import numpy as np
import pytest

from model_core.errors import InvalidInputError
from model_core.latents.directions.measuring import MEASURES
from model_core.latents.directions.samples import measure_samples


def measure(seed):
    return np.full(len(MEASURES), float(seed))


def test_samples_are_measured_in_the_order_of_their_seeds():
    steps = []
    rows = measure_samples(measure, 3, on_step=lambda: steps.append(1))
    assert rows[:, 0].tolist() == [0, 1, 2]
    assert len(steps) == 3


def test_stored_samples_are_not_measured_again(tmp_path):
    path = tmp_path / "measures.npy"
    first = measure_samples(measure, 30, path)
    asked = []

    def count(seed):
        asked.append(seed)
        return measure(seed)

    assert np.array_equal(measure_samples(count, 33, path)[:30], first)
    assert asked == [30, 31, 32]
    assert len(np.load(path)) == 33
    assert len(measure_samples(count, 10, path)) == 10
    assert len(np.load(path)) == 33


def test_an_interrupted_measurement_keeps_most_of_its_rows(tmp_path):
    def stop(seed):
        if seed == 25:
            raise KeyboardInterrupt
        return measure(seed)

    path = tmp_path / "measures.npy"
    with pytest.raises(KeyboardInterrupt):
        measure_samples(stop, 40, path)
    assert len(np.load(path)) == 20


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.npy"
    if content is None:
        np.save(path, np.zeros((4, 5, 2)))
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"other\.npy must"):
        measure_samples(measure, 3, path)
