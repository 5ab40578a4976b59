"""A morph of photos: its ends are their reconstructions, and what is there is not made again."""

import numpy as np
import pytest
from PIL import Image

from model_core.batch.morphing import ANIMATION, FRAMES, Morph, morph_photos
from model_core.batch.single import read_people
from model_core.errors import InvalidInputError

MORPH = Morph(3, form="png", size_px=256, frame_ms=50)


def run(photos, out, predictor, workers, morph=MORPH):
    said = []
    morph_photos(photos, out, predictor, workers, morph, lambda *told: said.append(told))
    return said


def read(file):
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def test_the_ends_are_the_reconstructions_and_the_details_are_blended(
    photos, tmp_path, predictor, workers
):
    pair = [photos / "a.jpg", photos / "below" / "b.png"]
    said = run(pair, tmp_path, predictor, workers)
    assert said == [(0, 3), (1, 3), (2, 3), (3, 3)]
    a, b = read_people(pair, predictor, workers)
    middle = predictor.blend(a, b, 0.5, (a.ws + b.ws) / 2)
    expected = [Image.fromarray(predictor.render([each])[0]) for each in (a, middle, b)]
    frames = [tmp_path / FRAMES / f"000{index}.png" for index in range(3)]
    for frame, image in zip(frames, expected, strict=True):
        small = np.asarray(image.resize((256, 256), Image.Resampling.BOX))
        assert np.abs(read(frame).astype(int) - small).max() <= 2
    with Image.open(tmp_path / f"{ANIMATION}.webp") as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (4, (256, 256), 0)

    whole = frames[1].read_bytes()
    kept = frames[0].stat().st_mtime_ns
    frames[1].unlink()
    (tmp_path / f"{ANIMATION}.webp").unlink()
    half = [tmp_path / f".{ANIMATION}.webp.x1.partial", tmp_path / FRAMES / ".0001.png.x1.partial"]
    others = tmp_path / "others" / ".a.jpg.x1.partial"
    others.parent.mkdir()
    for file in (*half, others):
        file.write_bytes(whole[:100])
    assert run(pair, tmp_path, predictor, workers) == [(2, 3), (3, 3)]
    assert frames[1].read_bytes() == whole
    assert frames[0].stat().st_mtime_ns == kept
    assert (tmp_path / f"{ANIMATION}.webp").exists()
    assert [file.exists() for file in (*half, others)] == [False, False, True]
    with pytest.raises(InvalidInputError, match="started with other settings"):
        run(pair[::-1], tmp_path, predictor, workers)


def test_photos_and_numbers_are_checked(photos, tmp_path, predictor, workers):
    face = photos / "a.jpg"
    for pair, morph, said in (
        ([face], MORPH, "photos must be 2 or more, got 1"),
        ([face, tmp_path / "none.jpg"], MORPH, "photos must be files"),
        ([face] * 4, MORPH, "steps must be from 4 to 300, got 3"),
        ([face] * 2, Morph(3, size_px=2000), "size must be from 64 to 1024, got 2000"),
        ([face, photos / "grey.jpg"], MORPH, r"grey\.jpg: no face was found"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            run(pair, tmp_path / "out", predictor, workers, morph)
