"""What the command says, before and after networks are loaded."""

import pytest

from model_core.films.__main__ import main
from tests.model_core.films.studio import empty_frame, moving, write_film


@pytest.fixture
def films(tmp_path):
    write_film(tmp_path / "in.mp4", moving(2), sound="aac")
    write_film(tmp_path / "pcm.mov", moving(2), sound="pcm_s16le")
    write_film(tmp_path / "alaw.mov", moving(2), sound="pcm_alaw")
    write_film(tmp_path / "adpcm.avi", moving(2), codec="mpeg4", sound="adpcm_ms")
    (tmp_path / "text.mp4").write_text("hello")
    return tmp_path


def run(films, cache, name, *more, out="out.mp4"):
    arguments = [str(films / name), "-o", str(films / out), *more]
    return main(arguments, cache)


@pytest.mark.parametrize(
    ("name", "out", "said"),
    [
        ("none.mp4", "out.mp4", "film must be a file"),
        ("text.mp4", "out.mp4", "text.mp4 is not a film that can be read"),
        ("in.mp4", "out.gif", "OUT must end in one of"),
        ("pcm.mov", "out.mp4", "whose sound is pcm_s16le"),
        ("alaw.mov", "out.mkv", "OUT must end in .mov for a film whose sound is pcm_alaw"),
        ("adpcm.avi", "out.mkv", "got adpcm_ms: convert it to AAC"),
        ("in.mp4", "in.mp4", "OUT must not be FILM itself"),
    ],
)
def test_faults_are_said_before_networks_are_loaded(films, tmp_path, capsys, name, out, said):
    no_weights = tmp_path / "cache"
    assert run(films, no_weights, name, "--direction", "smile=1", out=out) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("direction", ["=1", "smile=much", "smile=nan"])
def test_directions_are_names_with_strengths(films, tmp_path, capsys, direction):
    with pytest.raises(SystemExit):
        run(films, tmp_path, "in.mp4", "--direction", direction)
    assert "must be" in capsys.readouterr().err


def test_a_direction_given_twice_is_refused(films, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(films, tmp_path, "in.mp4", "--direction", "smile=1", "--direction", "smile=2")
    assert "got smile twice" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--workers=2", "--faces=largest", "--quality=90"])
def test_options_for_photos_are_refused(films, tmp_path, capsys, option):
    for given in ([option], option.split("=")):
        with pytest.raises(SystemExit, match="2"):
            run(films, tmp_path, "in.mp4", "--direction", "smile=1", *given)
        name = option.partition("=")[0]
        assert f"{name} must be omitted for a film: it is for photos" in capsys.readouterr().err


def test_unknown_options_are_refused(films, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(films, tmp_path, "in.mp4", "--direction", "smile=1", "--speed", "9")
    assert "unrecognized arguments: --speed 9" in capsys.readouterr().err


@pytest.mark.slow
def test_a_film_is_edited_and_its_work_removed(films, cache, capsys):
    fast = ("--backend", "openvino", "--direction", "smile=1.5", "--blend", "transfer")
    write_film(films / "none.mp4", [empty_frame()] * 2)
    assert run(films, cache, "in.mp4", *fast) == 0
    told = capsys.readouterr()
    assert "2 of 2 frames edited, 160x160, 0.1 s, sound copied" in told.out
    assert "editing" in told.err
    assert (films / "out.mp4").exists()
    assert not (films / "out.mp4.work").exists()
