import os
from pathlib import Path

import pytest
import torch

from model_core.errors import CheckpointError
from model_core.training.code_cache import CodeCache

KEYS = ["a", "b", "c"]


def open_cache(folder, keys=KEYS):
    return CodeCache(folder, keys, (2, 3))


def offer(cache, slot, value, loss):
    return cache.offer(
        torch.tensor([slot]), torch.full((1, 2, 3), value), torch.tensor([loss])
    ).item()


def stored(cache, slot):
    ws, loss = cache.read(torch.tensor([slot]))
    return ws[0, 0, 0].item(), loss.item()


def commit(cache, step):
    cache.prepare(step)
    cache.apply(step)


def test_an_empty_slot_has_an_infinite_loss(tmp_path):
    cache = open_cache(tmp_path)
    assert stored(cache, 1)[1] == float("inf")
    assert cache.filled == 0
    assert len(cache) == 3


def test_only_a_lower_loss_replaces_a_code(tmp_path):
    cache = open_cache(tmp_path)
    assert offer(cache, 1, 5.0, 0.5)
    assert not offer(cache, 1, 6.0, 0.5)
    assert not offer(cache, 1, 7.0, 0.9)
    assert stored(cache, 1) == (5.0, 0.5)
    assert offer(cache, 1, 8.0, 0.25)
    assert stored(cache, 1) == (8.0, 0.25)
    assert cache.filled == 1 / 3


def test_the_better_of_two_codes_for_a_slot_is_kept(
    tmp_path,
):
    cache = open_cache(tmp_path)
    slots = torch.tensor([1, 1, 1])
    ws = torch.arange(3.0)[:, None, None].expand(3, 2, 3)
    better = cache.offer(slots, ws, torch.tensor([0.5, 0.25, 0.75]))
    assert better.tolist() == [True, True, True]
    assert stored(cache, 1) == (1.0, 0.25)
    better = cache.offer(slots, ws, torch.tensor([0.5, 0.125, 0.2]))
    assert better.tolist() == [False, True, True]
    assert stored(cache, 1) == (1.0, 0.125)


def test_committed_codes_survive_a_restart_and_others_do_not(tmp_path):
    cache = open_cache(tmp_path)
    offer(cache, 0, 1.0, 0.5)
    commit(cache, 1)
    offer(cache, 0, 2.0, 0.25)
    offer(cache, 2, 3.0, 0.25)
    assert cache.filled == 2 / 3
    again = open_cache(tmp_path)
    again.recover(1)
    assert stored(again, 0) == (1.0, 0.5)
    assert again.filled == 1 / 3


def test_a_kill_before_the_checkpoint_leaves_the_old_state(tmp_path):
    cache = open_cache(tmp_path)
    offer(cache, 0, 1.0, 0.5)
    commit(cache, 1)
    offer(cache, 0, 2.0, 0.25)
    cache.prepare(2)
    again = open_cache(tmp_path)
    again.recover(1)
    assert stored(again, 0) == (1.0, 0.5)
    assert not list(tmp_path.glob("journal-*"))


def test_a_kill_after_the_checkpoint_leaves_the_new_state(tmp_path):
    cache = open_cache(tmp_path)
    offer(cache, 0, 2.0, 0.25)
    cache.prepare(2)
    again = open_cache(tmp_path)
    again.recover(2)
    assert stored(again, 0) == (2.0, 0.25)
    assert stored(open_cache(tmp_path), 0) == (2.0, 0.25)


def test_codes_of_known_keys_survive_changes_to_the_photos(tmp_path):
    cache = open_cache(tmp_path)
    offer(cache, 0, 1.0, 0.5)
    offer(cache, 2, 3.0, 0.25)
    commit(cache, 1)
    changed = open_cache(tmp_path, ["new", "c", "a"])
    assert stored(changed, 0)[1] == float("inf")
    assert stored(changed, 1) == (3.0, 0.25)
    assert stored(changed, 2) == (1.0, 0.5)


def test_a_journal_is_on_the_disk_before_the_checkpoint_is_written(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", fsync)
    cache = open_cache(tmp_path / "cache")
    synced.clear()
    offer(cache, 1, 5.0, 0.5)
    cache.prepare(7)
    written, folder = synced  # its bytes, then its name
    assert written.startswith(".journal-00000007.safetensors.")
    assert folder == "cache"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\0" * 600])
def test_a_damaged_journal_error_says_what_to_do(tmp_path, content):
    cache = open_cache(tmp_path)
    offer(cache, 1, 5.0, 0.5)
    cache.prepare(7)
    (journal,) = tmp_path.glob("journal-*")
    journal.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"journal-00000007\.safetensors .* delete it to go on"
    ):
        open_cache(tmp_path).recover(7)
    journal.unlink()
    open_cache(tmp_path).recover(7)


def test_a_journal_of_another_cache_is_refused(tmp_path):
    other = CodeCache(tmp_path / "other", KEYS, (4, 4))
    other.offer(torch.tensor([1]), torch.zeros(1, 4, 4), torch.tensor([0.5]))
    other.prepare(7)
    cache = open_cache(tmp_path / "cache")
    (journal,) = (tmp_path / "other").glob("journal-*")
    journal.rename(tmp_path / "cache" / journal.name)
    with pytest.raises(CheckpointError, match="is damaged"):
        cache.recover(7)
