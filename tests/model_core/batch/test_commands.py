"""The commands' arguments: what they refuse, and in which words."""

import pytest

from model_core.batch import colorize, edit, morph
from model_core.batch.__main__ import main
from model_core.batch.direction_options import read_direction


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(b"")
    return str(file)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--direction", "smile=much"], "must be NAME=NUMBER such as smile=1.5, got smile=much"),
        (["--direction", "smile=nan"], "must be NAME=NUMBER such as smile=1.5, got smile=nan"),
        (["--direction", "=1"], "must be NAME=NUMBER such as smile=1.5, got =1"),
        (["--direction", "age=1", "--direction", "age"], "got age twice"),
        ([], "required: --direction"),
    ],
)
def test_directions_are_read_or_refused(photo, flags, said, capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        edit.main([photo, "-o", str(tmp_path / "out"), *flags], tmp_path)
    assert said in capsys.readouterr().err


def test_directions_come_with_a_number_or_without():
    assert read_direction("age=-7.5") == ("age", -7.5)
    assert read_direction("age") == ("age", None)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--blend", "render"], "--blend must be omitted unless --output is photo, got render"),
        (["--quality", "0"], "--quality must be from 1 to 100, got 0"),
    ],
)
def test_pictures_are_checked_before_anything_is_loaded(photo, flags, said, capsys, tmp_path):
    code = edit.main([photo, "-o", "out", "--direction", "age", *flags], tmp_path)
    assert (code, capsys.readouterr().err) == (1, f"error: {said}\n")


def test_a_file_that_is_no_photo_is_edited_as_a_film(capsys, tmp_path):
    film = tmp_path / "a.mp4"
    film.write_bytes(b"no film")
    code = edit.main([str(film), "-o", str(tmp_path / "b.mp4"), "--direction", "age=1"], tmp_path)
    assert code == 1
    assert capsys.readouterr().err.startswith("error: a.mp4 is not a film")


def test_a_folder_without_photos_is_refused(capsys, tmp_path):
    code = colorize.main([str(tmp_path), "-o", str(tmp_path / "out")], tmp_path)
    assert (code, capsys.readouterr().err) == (
        1,
        f"error: source must be a folder of photos, got {tmp_path}\n",
    )


@pytest.mark.parametrize("places", [["s3://b/photos", "-o", "out"], ["in", "-o", "s3://b/out"]])
def test_a_bucket_needs_ray(places, capsys, tmp_path):
    assert main(places, tmp_path) == 1
    said = capsys.readouterr().err
    assert "must be a path without --ray, got s3://b/" in said
    assert "add --ray local" in said


@pytest.mark.usefixtures("photo")
def test_a_folder_is_not_written_into_itself(capsys, tmp_path):
    folder = tmp_path / tmp_path.name
    folder.symlink_to(tmp_path)
    assert edit.main([str(tmp_path), "-o", str(folder), "--direction", "age"], tmp_path) == 1
    assert "OUT must be another folder than the photos'" in capsys.readouterr().err


@pytest.mark.parametrize("before", [True, False])
def test_a_film_is_found_among_options_that_only_films_have(before, capsys, tmp_path):
    film = tmp_path / "a.mp4"
    film.write_bytes(b"no film")
    flags = ["--direction", "age=1", "-o", str(tmp_path / "b.mp4"), "--face", "1"]
    code = edit.main([*flags, str(film)] if before else [str(film), *flags], tmp_path)
    assert code == 1
    assert capsys.readouterr().err.startswith("error: a.mp4 is not a film")


def test_colours_are_checked(photo, capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        colorize.main([photo, "-o", "out", "--strength", "2"], tmp_path)
    assert "--strength must be from 0 to 1, got 2.0" in capsys.readouterr().err


def test_a_morph_needs_two_photos(photo, capsys, tmp_path):
    assert morph.main([photo, "-o", "out"], tmp_path) == 1
    assert capsys.readouterr().err == "error: photos must be 2 or more, got 1\n"
