import queue
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from model_core.errors import InvalidInputError
from model_core.training.data.photo_stream import AHEAD, READERS, PhotoStream
from model_core.training.data.photos import Photos


@pytest.fixture
def folders(tmp_path):
    """Twelve different photos in two folders, one of them in both."""
    random = np.random.default_rng(0)
    photos = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files = [tmp_path / name / f"{i}.png" for i in range(6)]
        for file in files:
            small = random.integers(0, 256, (4, 4, 3), np.uint8)
            Image.fromarray(small).resize((256, 256)).save(file)
        photos.append(files)
    photos[1].append(tmp_path / "two" / "copy.png")
    photos[1][-1].write_bytes(photos[0][0].read_bytes())
    return [Photos(files) for files in photos]


def test_every_photo_belongs_to_one_shard_and_counts_once(folders):
    shards = [PhotoStream(folders, [1.0, 1.0], k, 2, seed=0, steps=5) for k in range(2)]
    keys = [set(shard.keys) for shard in shards]
    assert sum(len(shard) for shard in shards) == 12
    assert not keys[0] & keys[1]
    assert len(keys[0] | keys[1]) == 24


def test_shards_of_one_process_read_each_file_for_its_digest_once(folders):
    expected = PhotoStream(folders, [1.0, 1.0], 1, 2, seed=0, steps=5).keys
    for photos in folders:
        for file in photos.files:
            file.unlink()
    assert PhotoStream(folders, [1.0, 1.0], 1, 2, seed=0, steps=5).keys == expected


def test_slots_identify_photo_and_orientation(folders):
    stream = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=5)
    batch = stream.draw(0, 32)
    files = [file for photos in folders for file in photos.files]
    for img, slot in zip(batch.img, batch.slots.tolist(), strict=True):
        photo = Photos([files[slot // 2]]).read([0])[0]
        assert torch.equal(img, photo.flip(-1) if slot % 2 else photo)
    assert set((batch.slots % 2).tolist()) == {0, 1}


def test_draws_depend_only_on_the_step(folders):
    a = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=5)
    b = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=5)
    a.draw(0, 4)
    assert torch.equal(a.draw(1, 8).slots, b.draw(1, 8).slots)
    assert not torch.equal(a.draw(1, 8).slots, a.draw(2, 8).slots)


def test_unreadable_photos_are_replaced_and_reported_once(folders):
    damaged = folders[0].files[:2]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:100])
    told = []
    stream = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=5, report=told.append)
    again = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=5)
    files = [file for photos in folders for file in photos.files]
    for step in range(5):
        batch = stream.draw(step, 16)
        assert torch.equal(batch.slots, again.draw(step, 16).slots)
        assert not {files[slot // 2] for slot in batch.slots.tolist()} & set(damaged)
    assert len(told) == 2


def test_a_run_without_readable_photos_ends(folders):
    for file in folders[0].files:
        file.write_bytes(file.read_bytes()[:100] + file.name.encode())
    stream = PhotoStream(folders[:1], [1.0], 0, 1, seed=0, steps=1)
    with pytest.raises(InvalidInputError, match="100 unreadable ones in a row"):
        stream.draw(0, 2)


def test_folders_are_drawn_by_their_weights(folders):
    stream = PhotoStream(folders, [1.0, 0.0], 0, 1, seed=0, steps=5)
    assert (stream.draw(0, 64).slots // 2).max() < 6


def test_weights_that_do_not_fit_are_refused(folders):
    with pytest.raises(InvalidInputError, match="one number per folder, 2, got 1"):
        PhotoStream(folders, [1.0], 0, 1, seed=0, steps=5)


def test_a_shard_without_photos_is_refused(folders):
    with pytest.raises(InvalidInputError, match="must have photos"):
        PhotoStream([Photos([])], [1.0], 0, 1, seed=0, steps=5)


@pytest.fixture
def reads(monkeypatch):
    """A queue that gets an item for each photo that has been read."""
    done, read = queue.Queue(), Photos.read

    def noted(photos, indices):
        img = read(photos, indices)
        done.put(len(indices))
        return img

    monkeypatch.setattr(Photos, "read", noted)
    return done


def test_photos_are_read_ahead_of_the_steps_that_ask_for_them(folders, reads):
    stream = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=2)
    first = stream.draw(0, 4)
    assert [reads.get(timeout=60) for _ in range(8)] == 8 * [1]
    with PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=2) as other:
        expected = other.draw(1, 4)
    for photos in folders:
        for file in photos.files:
            file.unlink()
    assert torch.equal(stream.draw(1, 4).img, expected.img)
    assert len(first.img) == 4


@pytest.mark.parametrize(("steps", "expected"), [(3, 3), (100, AHEAD)])
def test_nothing_is_read_for_steps_that_the_run_does_not_have(folders, reads, steps, expected):
    stream = PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=steps)
    stream.draw(0, 4)
    for _ in range(4 * expected):
        reads.get(timeout=60)
    with stream:
        pass  # waits for what is being read
    assert reads.empty()


def test_the_readers_end_with_the_stream(folders):
    with PhotoStream(folders, [1.0, 1.0], 0, 1, seed=0, steps=100) as stream:
        before = set(threading.enumerate())
        stream.draw(0, 4)
        readers = set(threading.enumerate()) - before
        assert all(reader.name.startswith(READERS) for reader in readers)
    assert readers
    assert not any(reader.is_alive() for reader in readers)


def test_an_unreadable_photo_is_named(folders):
    stream = PhotoStream(folders, [1.0, 0.0], 0, 1, seed=0, steps=5)
    for file in folders[0].files:
        file.write_bytes(b"no image")
    with pytest.raises(
        InvalidInputError, match="photos must be readable, got 100 unreadable ones in a row"
    ):
        stream.draw(0, 2)
