"""What a claim of a film takes over from earlier ones."""

import json

import pytest

from model_core.films.editor import FilmEditor
from model_core.films.work import SETTINGS
from service.jobs.worker.film_files import FilmFiles
from tests.model_core.films.studio import StandInPredictor, brighter
from tests.service.films import FilmAligner


def make_editor():
    return FilmEditor(StandInPredictor(), FilmAligner(), {"light": 1.0}, library=brighter())


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, True),
        ({"version": 0}, False),
        ({"pyav": "1.0"}, False),
        ({"weights": {}}, False),
    ],
)
def test_parts_are_taken_over_unless_they_would_not_fit(tmp_path, changed, kept):
    editor = make_editor()
    earlier = tmp_path / "work-1"
    earlier.mkdir()
    (earlier / SETTINGS).write_text(json.dumps(editor.settings() | changed))
    files = FilmFiles(tmp_path, 2)
    files.inherit(editor)
    assert files.work.exists() == kept
    assert not earlier.exists()


def test_a_worker_that_has_lost_the_job_takes_nothing_from_its_heir(tmp_path):
    for fence in (1, 3):
        (tmp_path / f"work-{fence}").mkdir()
    FilmFiles(tmp_path, 2).inherit(make_editor())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["work-2", "work-3"]
