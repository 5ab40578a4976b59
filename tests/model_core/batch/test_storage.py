"""Folders on a disk and in an object store, for which Arrow's in-memory file system is used."""

from types import SimpleNamespace

import pytest
from pyarrow import fs as arrow_fs

from model_core.batch import storage
from model_core.batch.preparation import Look, SourceLostError, load_aligner, prepare
from model_core.batch.storage import Folder, prepare_object
from model_core.errors import InvalidInputError
from model_core.weights.cache import LANDMARKS, weight_path

NAMES = ["b/2.png", "a.jpg", "b/.hidden.jpg", "notes.txt", "out/images/a.jpg.0.jpg", "b-1.JPG"]
PHOTOS = ["a.jpg", "b-1.JPG", "b/2.png"]


@pytest.fixture
def store():
    """An object store with a bucket, and the bucket's folder."""
    files = arrow_fs._MockFileSystem()
    files.create_dir("bucket/faces")
    return Folder("mock://bucket/faces", files, "bucket/faces")


@pytest.fixture(params=["path", "uri"])
def disk(request, tmp_path):
    return Folder.open(str(tmp_path) if request.param == "path" else tmp_path.as_uri())


def inside(folder, name):
    return Folder(f"{folder.address}/{name}", folder.files, folder.place(name), None)


def test_photos_are_listed_alike_in_a_store_and_on_a_disk(store, disk, tmp_path):
    for name in NAMES:
        store.files.create_dir(store.place(name).rpartition("/")[0])
        store.write(name, b"x")
        disk.write(name, b"x")
    found = store.photos(inside(store, "out"))
    assert found == [(f"bucket/faces/{name}", name) for name in PHOTOS]
    out = "out" if disk.local is None else str(tmp_path / "out")
    besides = inside(disk, "out") if disk.local is None else Folder.open(out)
    assert disk.photos(besides) == [(str(tmp_path / name), name) for name in PHOTOS]


def test_another_store_leaves_nothing_out(store):
    store.files.create_dir(store.place("out"))
    store.write("out/a.jpg", b"x")
    other = Folder("mock://bucket/faces/out", arrow_fs._MockFileSystem(), "bucket/faces/out")
    assert [name for _, name in store.photos(other)] == ["out/a.jpg"]


def test_files_are_written_whole_and_replaced(store, disk, tmp_path):
    for folder in (store, disk):
        assert folder.read("table/x") is None
        assert folder.names("table") == []
        folder.files.create_dir(folder.place("table"))
        folder.write("table/x", b"first")
        folder.write("table/x", b"second")
        assert folder.read("table/x") == b"second"
        assert folder.names("table") == ["x"]
    assert [file.name for file in (tmp_path / "table").iterdir()] == ["x"]  # no partial files


def test_a_folder_is_left_out_and_recognised_by_either_address(tmp_path):
    for name in ("a.jpg", "out/images/a.jpg.0.jpg"):
        Folder.open(str(tmp_path)).write(name, b"x")
    addresses = (str(tmp_path), tmp_path.as_uri())
    for photos in map(Folder.open, addresses):
        for out in map(Folder.open, (f"{address}/out" for address in addresses)):
            assert [name for _, name in photos.photos(out)] == ["a.jpg"]
            assert not photos.is_same(out)
        assert all(photos.is_same(Folder.open(address)) for address in addresses)


@pytest.mark.parametrize("address", ["nowhere://bucket/x", "s3:/bucket://x"])
def test_unknown_addresses_are_refused(address):
    with pytest.raises(InvalidInputError, match="must be a path or a URI"):
        Folder.open(address)


def test_a_photo_of_a_store_that_cannot_be_read_is_its_reason(store, monkeypatch, cache):
    store.write("a.jpg", b"\xff\xd8\xff no photo")
    monkeypatch.setattr(storage, "_opened", lambda _: store)
    load_aligner(weight_path(cache, LANDMARKS))

    def reason(name):
        return prepare_object(store.address, store.place(name), name, Look()).reason

    assert "a.jpg" not in reason("a.jpg")
    assert reason("a.jpg")
    assert reason("gone.jpg") == "it is not there any more"
    monkeypatch.setattr("model_core.batch.preparation.MAX_BYTES", 5)
    assert "at most 5 bytes" in reason("a.jpg")


class Failing:
    """A store whose first requests fail; the root cannot be looked at either if `lost`."""

    def __init__(self, files, times, lost=False):
        self._files, self._times, self._lost = files, times, lost

    def get_file_info(self, place):
        if self._lost:
            raise OSError("ExpiredToken")
        return self._files.get_file_info(place)

    def open_input_file(self, place):
        self._times -= 1
        if self._times >= 0:
            raise OSError("timeout")
        return self._files.open_input_file(place)


def test_a_store_that_is_lost_ends_the_run_and_a_late_answer_does_not(store, monkeypatch, cache):
    store.write("a.jpg", b"\xff\xd8\xff no photo")
    load_aligner(weight_path(cache, LANDMARKS))

    def reason(files):
        folder = SimpleNamespace(files=files, root=store.root)
        monkeypatch.setattr(storage, "_opened", lambda _: folder)
        return prepare_object(store.address, store.place("a.jpg"), "a.jpg", Look()).reason

    assert "timeout" not in reason(Failing(store.files, 1))
    assert reason(Failing(store.files, 2)) == "timeout"
    with pytest.raises(SourceLostError, match="cannot be read any more"):
        reason(Failing(store.files, 1, lost=True))


def test_a_disk_that_is_lost_ends_the_run_and_a_lost_photo_does_not(tmp_path, cache):
    load_aligner(weight_path(cache, LANDMARKS))
    folder = tmp_path / "photos"
    photo = folder / "gone.jpg"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    assert "not a regular file" in prepare(photo, "gone.jpg", Look()).reason
    (folder / "a.jpg").unlink()  # what remains is the mount point
    with pytest.raises(SourceLostError, match="it is empty"):
        prepare(photo, "gone.jpg", Look())
    folder.rmdir()
    with pytest.raises(SourceLostError, match="No such file"):
        prepare(photo, "gone.jpg", Look())
