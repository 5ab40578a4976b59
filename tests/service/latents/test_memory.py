"""The latent store: ids that say nothing, bounds that hold."""

import pytest
import torch

from service.errors import UnknownLatentError
from service.latents.memory import MemoryLatentStore
from service.wire.sources import LATENT_ID

pytestmark = pytest.mark.anyio


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def ws(value=0.0):
    return torch.full((18, 512), value)


async def test_a_code_comes_back_under_its_id_and_is_a_copy():
    store, code = MemoryLatentStore(10, 60), ws(3)
    latent_id = await store.put(code, "a")
    assert LATENT_ID.fullmatch(latent_id)
    code.zero_()
    (await store.get(latent_id, "a")).zero_()
    assert torch.equal(await store.get(latent_id, "a"), ws(3))
    assert await store.put(code, "a") != latent_id


async def test_an_unknown_id_is_refused():
    with pytest.raises(UnknownLatentError, match="within 60 s"):
        await MemoryLatentStore(10, 60).get("AAAAAAAAAAAAAAAAAAAAAA", "a")


async def test_anothers_code_is_unknown():
    store = MemoryLatentStore(10, 60)
    latent_id = await store.put(ws(1), "a")
    with pytest.raises(UnknownLatentError):
        await store.get(latent_id, "b")
    assert torch.equal(await store.get(latent_id, "a"), ws(1))


async def test_ids_expire_some_time_after_their_last_use():
    clock = Clock()
    store = MemoryLatentStore(10, 60, clock)
    used, unused = await store.put(ws(1), "a"), await store.put(ws(2), "a")
    clock.now += 50
    await store.get(used, "a")
    clock.now += 50
    assert torch.equal(await store.get(used, "a"), ws(1))
    with pytest.raises(UnknownLatentError):
        await store.get(unused, "a")
    assert store.size == 1


async def test_the_least_recently_used_goes_first():
    store = MemoryLatentStore(2, 60)
    first, second = await store.put(ws(1), "a"), await store.put(ws(2), "a")
    await store.get(first, "a")
    third = await store.put(ws(3), "a")
    assert store.size == 2
    for known in (first, third):
        await store.get(known, "a")
    with pytest.raises(UnknownLatentError):
        await store.get(second, "a")


async def test_codes_that_take_the_places_of_others_stay_apart():
    store = MemoryLatentStore(300, 60)
    latent_ids = [await store.put(ws(i), "a") for i in range(700)]
    for i, latent_id in enumerate(latent_ids[-300:], start=400):
        assert torch.equal(await store.get(latent_id, "a"), ws(i))
