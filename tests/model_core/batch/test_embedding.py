"""Folders of generated faces through the real networks."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torch import get_num_threads

from model_core.alignment.ffhq import FaceAligner
from model_core.batch import workers as photo_workers
from model_core.batch.__main__ import main
from model_core.batch.codes import DeviceLostError
from model_core.batch.embedding import Wanted, embed_folder, embed_photos
from model_core.batch.table import TABLE
from model_core.batch.workers import PhotoWorkers
from model_core.errors import InvalidInputError
from model_core.output.provenance import GENERATED
from model_core.skipped import SKIPPED
from tests.model_core.batch.conftest import EAGER
from tests.model_core.batch.deadly import deadly


def rows_of(folder):
    return pq.read_table(folder / TABLE).to_pylist()


def embed(photos, out, predictor, landmarks, wanted=None):
    """Embed the photos; return the rows and what progress said."""
    said = []
    wanted = wanted or Wanted(shard_photos=2)
    embed_folder(photos, out, predictor, landmarks, wanted, 1, lambda *told: said.append(told))
    return rows_of(out), said


def test_every_face_has_a_row_and_every_other_photo_a_reason(
    photos, tmp_path, predictor, landmarks
):
    wanted = Wanted(images=True, codes="npy", shard_photos=2)
    rows, said = embed(photos, tmp_path / "out", predictor, landmarks, wanted)
    assert [(row["file"], row["face"], row["faces"]) for row in rows] == [
        ("a.jpg", 0, 1),
        ("below/b.png", 0, 1),
        ("c.jpg", 0, 2),
        ("c.jpg", 1, 2),
        ("grey.jpg", None, 0),
        ("zero.jpg", None, 0),
    ]
    assert "no face was found" in rows[4]["reason"]
    assert rows[5]["reason"]
    assert (tmp_path / "out" / SKIPPED).read_text().count("\n") == 2
    assert (said[0], said[-1]) == ((0, 5, 0), (5, 5, 4))
    for row in rows[:4]:
        assert row["psnr"] > 12
        assert 0 < row["lpips"] < 0.6
        left, _, right, _ = row["box"]
        assert 0 < right - left < 1024
        assert np.reshape(row["landmarks"], (68, 2)).min() > 0
        kept = np.load(tmp_path / "out" / "codes" / f"{row['file']}.{row['face']}.npy")
        assert np.array_equal(kept.ravel(), np.float32(row["code"]))
        with Image.open(tmp_path / "out" / "images" / f"{row['file']}.{row['face']}.jpg") as image:
            assert image.size == (1024, 1024)
            assert GENERATED in image.info["xmp"].decode()


def test_codes_are_those_of_the_predictor(photos, tmp_path, predictor, landmarks):
    rows, _ = embed(
        photos, tmp_path / "out", predictor, landmarks, Wanted("largest", figures=False)
    )
    assert all(row["psnr"] is None for row in rows)
    with Image.open(photos / "a.jpg") as image:
        crop = FaceAligner(landmarks).crop(np.asarray(image.convert("RGB"))).image
    expected = predictor.embed(crop[None])[0].numpy().ravel()
    assert np.allclose(rows[0]["code"], expected, atol=1e-5)


def test_finished_photos_are_skipped_and_new_ones_added(photos, tmp_path, predictor, landmarks):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    wanted = Wanted(figures=False, shard_photos=2)
    first, _ = embed(folder, tmp_path / "out", predictor, landmarks, wanted)
    written = {part: part.stat().st_mtime_ns for part in (tmp_path / "out" / TABLE).iterdir()}
    again, said = embed(folder, tmp_path / "out", predictor, landmarks, wanted)
    assert (again, said) == (first, [(5, 5, 0)])
    shutil.copy(folder / "a.jpg", folder / "aa.jpg")
    more, said = embed(folder, tmp_path / "out", predictor, landmarks, wanted)
    assert said == [(5, 6, 0), (6, 6, 1)]
    assert more[: len(first)] == first
    assert more[-1] == first[0] | {"file": "aa.jpg"}
    assert all(part.stat().st_mtime_ns == was for part, was in written.items())


def test_invalid_arguments_are_refused(photos, tmp_path, predictor, landmarks):
    with pytest.raises(InvalidInputError, match="must be 1 or more"):
        embed(photos, tmp_path / "out", predictor, landmarks, Wanted(shard_photos=0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="must be a folder of photos"):
        embed(tmp_path / "empty", tmp_path / "out", predictor, landmarks)


def test_a_photo_that_fails_does_not_end_the_run(
    photos, tmp_path, predictor, landmarks, monkeypatch
):
    embed_faces = predictor.embed

    calls = []

    def fill_memory(faces):
        calls.append(faces)
        if len(calls) == 4:  # the second face of c.jpg
            raise RuntimeError("out of memory")
        return embed_faces(faces)

    monkeypatch.setattr(predictor, "embed", fill_memory)
    rows, _ = embed(photos, tmp_path / "out", predictor, landmarks, Wanted(figures=False))
    reasons = {row["file"]: row["reason"] for row in rows}
    assert reasons["a.jpg"] is reasons["below/b.png"] is None
    assert "out of memory" in reasons["c.jpg"]


def test_a_device_that_is_lost_ends_the_run(photos, tmp_path, predictor, workers, monkeypatch):
    """Otherwise all photos that are left would be in the table, as photos that fail."""

    def fail(_faces):
        raise RuntimeError("unspecified launch failure")

    monkeypatch.setattr(predictor, "embed", fail)
    monkeypatch.setattr(predictor, "device", "meta")  # its tensors have no values to return
    wanted = Wanted(figures=False, shard_photos=1)
    with pytest.raises(DeviceLostError, match="device meta no longer answers"):
        embed_photos(photos, tmp_path / "out", predictor, workers, wanted, lambda *_: None)
    assert not list((tmp_path / "out" / TABLE).iterdir())


def test_a_photo_that_ends_its_process_is_found(
    photos, tmp_path, predictor, landmarks, monkeypatch
):
    monkeypatch.setattr(photo_workers, "prepare", deadly)
    rows, said = embed(photos, tmp_path / "out", predictor, landmarks, Wanted(figures=False))
    assert [row["file"] for row in rows] == [
        "a.jpg", "below/b.png", "c.jpg", "grey.jpg", "zero.jpg"
    ]  # fmt: skip
    assert "process that read it ended" in rows[2]["reason"]
    assert rows[0]["code"] is not None
    assert said[-1] == (5, 5, 2)


def test_the_command_says_how_many_photos_are_embedded(
    photos, tmp_path, cache, predictor, monkeypatch, capsys
):
    monkeypatch.setattr("model_core.batch.__main__.load_predictor", lambda *_: predictor)
    flags = ["-o", str(tmp_path / "out"), "--no-figures", "--workers", "1"]
    assert main([str(photos), *flags], cache) == 0
    assert capsys.readouterr().out == "3 of 5 photos embedded; skipped.tsv lists the others\n"


@pytest.mark.slow
def test_a_run_that_is_killed_continues_to_the_same_table(photos, tmp_path, cache, eager, models):
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    command = [sys.executable, "-m", "wplus", "embed", str(photos), "-o", str(broken)]
    process = subprocess.Popen(
        [*command, "--shard", "1", *EAGER],
        env=os.environ | {"WPLUS_CACHE": str(cache), "OMP_NUM_THREADS": str(get_num_threads())},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    end_s = time.monotonic() + 300
    while not list(broken.glob(f"{TABLE}/part-*.parquet")):
        assert time.monotonic() < end_s
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = {part: part.stat().st_mtime_ns for part in (broken / TABLE).glob("*.parquet")}
    wanted = Wanted(figures=False, shard_photos=1)
    with PhotoWorkers(1, models) as started:
        for out in (broken, whole):
            assert embed_photos(photos, out, eager, started, wanted, lambda *_: None) == 2
    assert all(part.stat().st_mtime_ns == was for part, was in kept.items())
    assert rows_of(broken) == rows_of(whole)
    assert [part.name for part in sorted((broken / TABLE).glob("*.parquet"))] == [
        part.name for part in sorted((whole / TABLE).glob("*.parquet"))
    ]
