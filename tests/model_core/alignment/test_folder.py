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


def test_faces_are_cut_and_the_rest_is_listed_with_its_reason(source, cache, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(source), str(out), "--size", "128", "--workers", "1"], cache) == 0
    assert "2 of 4 photos aligned" in capsys.readouterr().out
    crops = sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png"))
    assert crops == ["a.png", "below/b.png"]
    with Image.open(out / "a.png") as crop:
        assert crop.size == (128, 128)
    skipped = dict(line.split("\t") for line in (out / "skipped.tsv").read_text().splitlines())
    assert "no face was found" in skipped["wall.png"]
    assert "cannot identify image" in skipped["broken.jpg"]


def test_what_is_done_is_not_done_again(source, cache, tmp_path):
    out = tmp_path / "out"
    main([str(source), str(out), "--workers", "1"], cache)
    done = (out / "a.png").stat().st_mtime_ns
    (out / "below" / "b.png").unlink()
    main([str(source), str(out), "--workers", "1"], cache)
    assert (out / "a.png").stat().st_mtime_ns == done
    assert (out / "below" / "b.png").exists()


def test_a_folder_without_photos_is_an_error(cache, tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "out")], cache) == 1
    assert "must be a folder with photos" in capsys.readouterr().err
