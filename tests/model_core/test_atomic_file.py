"""Files that are there as a whole or not at all."""

import os
import stat

import pytest

from model_core.atomic_file import partial_file, publish, write_file


def test_an_unpublished_file_keeps_the_old_one(tmp_path):
    target = tmp_path / "a.json"
    target.write_bytes(b"old")

    def write_half():
        with partial_file(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_published_file_is_complete_and_world_readable(tmp_path, durable, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    target = tmp_path / "a.json"
    write_file(target, b"new", durable)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert len(synced) == (2 if durable else 0)  # its bytes, then its name


def test_the_partial_file_may_be_written_by_another_writer(tmp_path):
    target = tmp_path / "a.bin"
    with partial_file(target) as file:
        with open(file.name, "wb") as other:  # as safetensors does by its name  # noqa: PTH123
            other.write(b"all of it")
        publish(file, target)
    assert target.read_bytes() == b"all of it"
