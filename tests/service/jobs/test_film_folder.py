"""The folder of films: what the sweep takes, and what it must not."""

import os
import shutil
import time
from pathlib import Path

import pytest

from service.errors import FilmsFullError, TooLargeError
from service.jobs.film_folder import ALIVE, SOURCE, FilmFolder
from service.jobs.film_sweep import (
    FOREIGN_S,
    NEW_S,
    IdleFolders,
    in_use,
    keep_result,
    sweep_foreign,
)
from service.jobs.film_upload import Upload

QUEUE, OTHER = "a" * 16, "b" * 16
JOB = "j" * 22


@pytest.fixture
def films(tmp_path):
    return FilmFolder(tmp_path, QUEUE, 1000, 9000)


def put(films, job_id=JOB, *names, age_s=2 * NEW_S):
    folder = films.of_job(job_id)
    folder.mkdir()
    for name in names or (SOURCE,):
        (folder / name).write_bytes(b"x" * 100)
    age(folder, age_s)
    return folder


def age(folder, age_s=2 * NEW_S):
    then = time.time() - age_s
    os.utime(folder, (then, then))


def sweep(films, **states):
    idle = IdleFolders(films.folder)
    try:
        return idle.delete_unneeded({job: states.get(job, (None, None)) for job in idle.job_ids})
    finally:
        idle.close()


def test_folders_without_a_job_are_swept(films):
    folder = put(films)
    assert sweep(films) == 1
    assert not folder.exists()


@pytest.mark.parametrize("state", ["queued", "running", "cancelling"])
def test_what_a_job_needs_is_kept(films, state):
    folder = put(films)
    assert sweep(films, **{JOB: (state, None)}) == 0
    assert (folder / SOURCE).exists()


def test_of_an_ended_job_only_its_result_is_kept(films):
    folder = put(films, JOB, SOURCE, "film-2.mp4", "film-1.mp4")
    (folder / "work-1").mkdir()
    age(folder)
    sweep(films, **{JOB: ("succeeded", "film-2.mp4")})
    assert [path.name for path in folder.iterdir()] == ["film-2.mp4"]
    age(folder)
    assert sweep(films, **{JOB: ("succeeded", "film-2.mp4")}) == 0
    sweep(films, **{JOB: ("failed", None)})
    assert not folder.exists()


def test_a_job_deleted_while_it_is_tidied_is_gone(films, monkeypatch):
    folder = put(films, JOB, SOURCE, "film-1.mp4")

    def delete_first(self):
        shutil.rmtree(folder)
        return True

    monkeypatch.setattr(Path, "is_file", delete_first)
    keep_result(folder, "film-1.mp4")
    assert not folder.exists()


def test_what_a_worker_or_an_upload_uses_is_never_swept(films):
    folder = put(films)
    with in_use(folder / SOURCE), in_use(folder / SOURCE):
        assert sweep(films) == 0
    upload = Upload(films, "u" * 22, 100)
    upload.write(b"x" * 10)
    age(upload.path.parent)
    assert sweep(films) == 1  # the other one
    assert upload.path.exists()
    upload.close()
    assert not upload.path.parent.exists()


def test_a_new_folder_may_not_have_its_lock_yet(films):
    folder = put(films, age_s=0)
    assert sweep(films) == 0
    assert folder.exists()


def test_a_film_that_was_swept_is_not_begun(films):
    with pytest.raises(FileNotFoundError), in_use(films.of_job(JOB) / SOURCE):
        pass


def test_films_of_a_queue_that_is_gone_go_after_a_week_and_nothing_else(films, tmp_path):
    other = FilmFolder(tmp_path, OTHER, 1000, 9000)
    old = put(other, JOB, age_s=FOREIGN_S + 60)
    young = put(other, "k" * 22, age_s=FOREIGN_S - 60)
    mine = put(films, JOB, age_s=FOREIGN_S + 60)
    holiday = tmp_path / "holiday" / JOB
    holiday.mkdir(parents=True)
    os.utime(holiday, (0, 0))
    assert sweep_foreign(films) == 1
    assert not old.exists()
    assert all(folder.exists() for folder in (young, mine, holiday))


def test_films_of_another_queue_that_is_served_are_left_to_its_service(films, tmp_path):
    other = FilmFolder(tmp_path, OTHER, 1000, 9000)
    kept = put(other, JOB, "film-1.mp4", age_s=FOREIGN_S + 60)
    waiting = put(other, "k" * 22, age_s=FOREIGN_S + 60)
    other.show_alive()
    age(other.folder / ALIVE, FOREIGN_S - 60)
    assert sweep_foreign(films) == 0
    assert kept.exists()
    assert waiting.exists()
    age(other.folder / ALIVE, FOREIGN_S + 60)
    other.show_alive()
    assert sweep_foreign(films) == 0
    age(other.folder / ALIVE, FOREIGN_S + 60)
    assert sweep_foreign(films) == 2


def test_films_of_another_queue_that_are_in_use_are_never_swept(films, tmp_path):
    other = FilmFolder(tmp_path, OTHER, 1000, 9000)
    folder = put(other, JOB, age_s=FOREIGN_S + 60)
    with in_use(folder / SOURCE):
        assert sweep_foreign(films) == 0
    upload = Upload(other, "u" * 22, 100)
    age(upload.path.parent, FOREIGN_S + 60)
    assert sweep_foreign(films) == 1
    assert upload.path.exists()
    assert not folder.exists()
    upload.close()


def test_room_counts_what_is_arriving_and_what_will_be_made(films):
    put(films)  # 100 bytes, which need 300
    first = Upload(films, "u" * 22, 1000)
    first.write(b"x" * 500)
    second = Upload(films, "v" * 22, 1000)
    with pytest.raises(FilmsFullError, match=r"at most 9000 bytes in all, got 6300 .* 3000"):
        Upload(films, "w" * 22, None)
    second.close()
    third = Upload(films, "w" * 22, None)
    with pytest.raises(TooLargeError, match="at most 1000 bytes"):
        third.write(b"x" * 1001)
    for upload in (first, third):
        upload.close()
    assert films.used_bytes() == 100
