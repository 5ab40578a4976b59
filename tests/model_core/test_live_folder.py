"""Folders that change while they are listed."""

import shutil

from model_core.live_folder import files_below


def test_a_folder_deleted_while_its_neighbour_is_listed_is_passed_over(tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"12345")
    found = []
    for path, size_bytes in files_below(tmp_path):
        found.append((path.name, size_bytes))
        shutil.rmtree(tmp_path / ("right" if path.parent.name == "left" else "left"))
    assert found == [("file", 5)]


def test_a_file_deleted_before_its_turn_is_passed_over(tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).write_bytes(b"123")
    found = []
    for path, _ in files_below(tmp_path):
        found.append(path.name)
        (tmp_path / ("right" if path.name == "left" else "left")).unlink()
    assert len(found) == 1
