"""Changed faces of a folder: which files there are, what is in them, and what a second run does."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model_core.alignment.ffhq import FaceAligner
from model_core.batch.changes import along_directions, to_colours
from model_core.batch.changing import change_photos
from model_core.batch.codes import latents_of
from model_core.batch.listing import list_photos
from model_core.batch.pictures import FaceChange, Pictures
from model_core.batch.single import change_one
from model_core.compositing.insertion import insert
from model_core.compositing.luminance import with_luminance
from model_core.errors import InvalidInputError
from model_core.output.provenance import COMPOSITE, xmp_packet
from model_core.skipped import SKIPPED

PNG = Pictures(form="png")
FACES = ["a.jpg.0.png", "below/b.png.0.png", "c.jpg.0.png", "c.jpg.1.png"]


@pytest.fixture(scope="module")
def smile(predictor):
    return along_directions(predictor, {"smile": 1.5}, unsafe=False)


@pytest.fixture(scope="module")
def face(photos, predictor, landmarks):
    """The face of a.jpg: photo, crop and latent."""
    with Image.open(photos / "a.jpg") as image:
        photo = np.array(image.convert("RGB"))
    aligned = FaceAligner(landmarks).crop(photo)
    faces = aligned.image[None]
    return photo, aligned, latents_of(predictor, faces, predictor.embed(faces))[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photos, predictor, workers, smile):
    """The folder of an undisturbed run, and what the run said."""
    out = tmp_path_factory.mktemp("whole")
    return out, *run(photos, out, predictor, workers, smile)


def run(photos, out, predictor, workers, change, wanted=PNG):
    """Change the photos; return how many were skipped, and what progress said."""
    said = []
    listed = list_photos(photos, out)
    skipped = change_photos(
        listed, out, predictor, workers, change, wanted, lambda *told: said.append(told)
    )
    return skipped, said


def files_of(out):
    images = out / "images"
    return sorted(f.relative_to(images).as_posix() for f in images.rglob("*") if f.is_file())


def read(file):
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def test_every_face_has_a_picture_and_the_next_run_makes_only_what_is_missing(
    whole, photos, tmp_path, predictor, workers, smile, face
):
    out, skipped, said = whole
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    assert files_of(tmp_path) == FACES
    assert skipped == 2
    assert (said[0], said[-1]) == ((0, 5, 0), (5, 5, 4))
    reasons = dict(line.split("\t") for line in (tmp_path / SKIPPED).read_text().splitlines())
    assert list(reasons) == ["grey.jpg", "zero.jpg"]
    assert "no face was found" in reasons["grey.jpg"]
    assert reasons["zero.jpg"]
    _, _, own = face
    expected = predictor.render([smile.make(own)])[0]
    assert np.abs(read(tmp_path / "images" / FACES[0]).astype(int) - expected).max() <= 2

    images = tmp_path / "images"
    written = {name: (images / name).stat().st_mtime_ns for name in FACES}
    lost = (images / "c.jpg.0.png").read_bytes()
    (images / "c.jpg.0.png").unlink()  # written last
    (images / ".a.jpg.0.png.x1.partial").write_bytes(lost[:100])
    skipped, said = run(photos, tmp_path, predictor, workers, smile)
    assert (skipped, said[0], said[-1]) == (2, (2, 5, 0), (5, 5, 2))
    assert files_of(tmp_path) == FACES
    assert (images / "c.jpg.0.png").read_bytes() == lost
    kept = [name for name in FACES if not name.startswith("c.jpg")]
    assert all((images / name).stat().st_mtime_ns == written[name] for name in kept)

    other = along_directions(predictor, {"smile": 1.0}, unsafe=False)
    with pytest.raises(InvalidInputError, match="started with other settings"):
        run(photos, tmp_path, predictor, workers, other)


def test_whole_photos_keep_what_the_change_does_not_reach(
    photos, tmp_path, predictor, workers, smile, face
):
    folder = tmp_path / "one"
    folder.mkdir()
    marked = (photos / "a.jpg").read_bytes() + xmp_packet(COMPOSITE, "7", ("other", "6"))
    (folder / "a.jpg").write_bytes(marked)
    wanted = replace(PNG, output="photo")
    assert run(folder, tmp_path / "out", predictor, workers, smile, wanted)[0] == 0
    photo, aligned, own = face
    expected = photo.copy()
    old, new = predictor.render([own]), predictor.render([smile.make(own)])
    _, pasted = insert(expected, aligned.quad, new[0], old[0])
    written = read(tmp_path / "out" / "images" / "a.jpg.png")
    assert np.abs(written.astype(int) - expected).max() <= 2
    outside = np.ones(photo.shape[:2], bool)
    left, top, right, bottom = pasted.box
    outside[top:bottom, left:right] = False
    assert np.array_equal(written[outside], photo[outside])
    data = (tmp_path / "out" / "images" / "a.jpg.png").read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in data
    assert b'AISystemUsed="other; wplus' in data


def test_one_photo_becomes_one_file_with_the_colours_and_its_own_luminance(
    photos, tmp_path, predictor, workers, landmarks, face
):
    colours = predictor.sample(0, 0.0)[0]
    change = to_colours(colours, None, 8, 1.0, keep_luminance=True)
    source, target = photos / "a.jpg", tmp_path / "new.png"
    change_one(source, target, predictor, workers, change, PNG)
    photo, _, own = face
    new = predictor.render([change.make(own)])[0]
    crop = FaceAligner(landmarks).crop(photo, size=1024).image
    assert np.abs(read(target).astype(int) - with_luminance(new, crop)).max() <= 3
    assert change.make(own).ws[:8].equal(own.ws[:8])
    assert change.make(own).ws[8:].equal(colours[8:])
    with pytest.raises(InvalidInputError, match="another file than the photo"):
        change_one(source, source, predictor, workers, change, PNG)
    with pytest.raises(InvalidInputError, match=r"grey\.jpg: no face was found"):
        change_one(photos / "grey.jpg", target, predictor, workers, change, PNG)


def test_photos_that_cannot_be_rendered_or_written_are_skipped(
    tmp_path, photos, predictor, workers
):
    folder = tmp_path / "photos"
    folder.mkdir()
    data = (photos / "a.jpg").read_bytes()
    for name in ("a.jpg", f"{'b' * 240}.jpg", "c.jpg"):
        (folder / name).write_bytes(data)
    seen = []

    def fail_first(own):
        seen.append(own)
        if len(seen) == 1:
            raise RuntimeError("out of memory")
        return own

    change = FaceChange(fail_first, {})
    wanted = Pictures(form="webp")
    assert run(folder, tmp_path / "out", predictor, workers, change, wanted)[0] == 2
    assert files_of(tmp_path / "out") == ["c.jpg.0.webp"]
    reasons = (tmp_path / "out" / SKIPPED).read_text().splitlines()
    assert "out of memory" in reasons[0]
    assert "file name must have at most" in reasons[1]


@pytest.mark.slow
def test_a_run_that_is_killed_continues_to_the_same_pictures(
    whole, photos, tmp_path, predictor, workers, smile, cache
):
    command = [sys.executable, "-m", "wplus", "edit", str(photos), "-o", str(tmp_path / "out")]
    flags = ["--direction", "smile=1.5", "--format", "png", "--backend", "openvino", "--no-detail"]
    process = subprocess.Popen(
        [*command, *flags],
        env=os.environ | {"WPLUS_CACHE": str(cache)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    end_s = time.monotonic() + 300
    images = tmp_path / "out" / "images"
    while not list(images.glob("*.png")):
        assert time.monotonic() < end_s
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {name: (images / name).read_bytes() for name in files_of(tmp_path / "out")}
    assert before.keys() <= set(FACES)
    (tmp_path / "out" / "settings.json").unlink()  # the command also finds a second detector
    run(photos, tmp_path / "out", predictor, workers, smile)
    assert files_of(tmp_path / "out") == FACES
    for name in FACES:
        made = read(images / name)
        assert np.abs(made.astype(int) - read(whole[0] / "images" / name)).max() <= 2
        assert name not in before or before[name] == (images / name).read_bytes()
