import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_core.alignment.__main__ import main
from tests.model_core.faces import pixels, portrait


@pytest.fixture
def source(tmp_path):
    """A portrait, one below it, an empty wall, and a file that is no image."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    face = Image.fromarray(pixels(portrait()))
    face.save(folder / "a.png")
    face.save(folder / "below" / "b.jpg")
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / "wall.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_faces_are_cropped_and_skipped_photos_listed_with_reasons(source, cache, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(source), str(out), "--size", "128", "--workers", "1"], cache) == 0
    assert "2 of 4 photos aligned" in capsys.readouterr().out
    crops = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png"))
    assert crops == ["a.png", "below/b.png"]
    with Image.open(out / "a.png") as crop:
        assert crop.size == (128, 128)
    skipped = dict(line.split("\t") for line in (out / "skipped.tsv").read_text().splitlines())
    assert "no face was found" in skipped["wall.png"]
    assert "bytes that are no image" in skipped["broken.jpg"]


def test_finished_work_is_not_repeated(source, cache, tmp_path):
    out = tmp_path / "out"
    main([str(source), str(out), "--workers", "1"], cache)
    done = (out / "a.png").stat().st_mtime_ns
    (out / "below" / "b.png").unlink()
    main([str(source), str(out), "--workers", "1"], cache)
    assert (out / "a.png").stat().st_mtime_ns == done
    assert (out / "below" / "b.png").exists()


@pytest.fixture
def align(cache, tmp_path):
    """Align the folder `photos`; return the exit code, the crops and skipped.tsv's rows."""

    def run(out="out", *options):
        target = tmp_path / out
        code = main([str(tmp_path / "photos"), str(target), "--workers", "1", *options], cache)
        crops = sorted(file.relative_to(target).as_posix() for file in target.rglob("*.png"))
        table = target / "skipped.tsv"
        rows = table.read_bytes().splitlines() if table.exists() else []
        return code, crops, dict(row.split(b"\t") for row in rows)

    return run


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_photos_that_differ_in_their_suffix_have_a_crop_each(photos, align):
    for name in ("ann.jpg", "ann.png", "ANN.webp", "bob.jpg"):
        portrait().save(photos / name)
    assert align()[1] == ["ANN.webp.png", "ann.jpg.png", "ann.png.png", "bob.png"]


def test_crops_within_the_folder_are_not_cut_again(photos, align, capsys):
    portrait().save(photos / "a.jpg")
    for _ in range(2):
        assert align("photos/aligned")[1] == ["a.png"]
        assert "1 of 1 photos aligned" in capsys.readouterr().out


def test_the_source_folder_must_not_be_the_target(photos, align):
    portrait().save(photos / "a.jpg")
    assert align("photos")[0] == 1


def test_changed_photos_are_cropped_again_and_foreign_files_kept(photos, align, tmp_path):
    portrait().save(photos / "a.png")
    portrait().save(photos / "b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_bytes(b"cut short")
    assert b"did not make it" in align()[2][b"b.png"]
    first = (tmp_path / "out" / "a.png").read_bytes()
    portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "a.png")
    align()
    assert (tmp_path / "out" / "a.png").read_bytes() != first
    assert (tmp_path / "out" / "b.png").read_bytes() == b"cut short"
    align("out", "--size", "64")
    with Image.open(tmp_path / "out" / "a.png") as crop:
        assert crop.size == (64, 64)


def test_unusable_files_are_listed_and_the_others_cropped(photos, align):
    png = photos / "b.png"
    portrait().save(png)
    data = png.read_bytes()
    png.write_bytes(data[:60] + b"\xff" * 40 + data[100:])
    (photos / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 60)
    os.mkfifo(photos / "pipe.jpg")
    (photos / "gone.jpg").symlink_to(photos / "nothing.jpg")
    (photos / "folder.jpg").mkdir()
    Path(os.fsdecode(os.fsencode(photos) + b"/b\xe9.jpg")).write_bytes(b"no photo")
    portrait().save(photos / "z.gif")
    code, crops, skipped = align()
    assert (code, crops) == (0, ["z.png"])
    assert sorted(skipped) == [b"IMG_1.HEIC", b"b.png", rb"b\xe9.jpg", b"gone.jpg", b"pipe.jpg"]
    assert b"export it as JPEG" in skipped[b"IMG_1.HEIC"]


def test_photos_are_read_as_the_service_reads_them(photos, align, tmp_path):
    deep = np.asarray(portrait().convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(photos / "deep.png")
    portrait().convert("L").save(photos / "plain.png")
    align()
    crops = [np.asarray(Image.open(tmp_path / "out" / f"{n}.png")) for n in ("deep", "plain")]
    assert np.abs(crops[0].astype(int) - crops[1]).max() <= 1


@pytest.mark.parametrize("options", [("--size", "0"), ("--size", "1025"), ("--workers", "0")])
def test_numbers_out_of_range_end_the_command(photos, align, options, capsys):
    portrait().save(photos / "a.jpg")
    code, crops, _ = align("out", *options)
    assert (code, crops) == (1, [])
    assert "must be 1" in capsys.readouterr().err


def test_a_folder_without_photos_is_an_error(cache, tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "out")], cache) == 1
    assert "must be a folder with photos" in capsys.readouterr().err
