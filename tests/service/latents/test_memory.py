"""The latent store: ids that say nothing, bounds that hold."""

import pytest
import torch

from model_core.latents.latent import Detail, Latent
from service.errors import UnknownLatentError
from service.latents.memory import MemoryLatentStore
from service.wire.sources import LATENT_ID

pytestmark = pytest.mark.anyio


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def ws(value=0.0):
    return torch.full((18, 512), float(value))


async def test_a_stored_code_is_returned_as_a_copy():
    store, code = MemoryLatentStore(10, 60), ws(3)
    latent_id = await store.put(Latent(code), "a")
    assert LATENT_ID.fullmatch(latent_id)
    code.zero_()
    (await store.get(latent_id, "a")).ws.zero_()
    assert torch.equal((await store.get(latent_id, "a")).ws, ws(3))
    assert await store.put(Latent(code), "a") != latent_id


async def test_an_unknown_id_is_refused():
    with pytest.raises(UnknownLatentError, match="within 60 s"):
        await MemoryLatentStore(10, 60).get("AAAAAAAAAAAAAAAAAAAAAA", "a")


async def test_anothers_code_is_unknown():
    store = MemoryLatentStore(10, 60)
    latent_id = await store.put(Latent(ws(1)), "a")
    with pytest.raises(UnknownLatentError):
        await store.get(latent_id, "b")
    assert torch.equal((await store.get(latent_id, "a")).ws, ws(1))


async def test_ids_expire_some_time_after_their_last_use():
    clock = Clock()
    store = MemoryLatentStore(10, 60, clock)
    used, unused = await store.put(Latent(ws(1)), "a"), await store.put(Latent(ws(2)), "a")
    clock.now += 50
    await store.get(used, "a")
    clock.now += 50
    assert torch.equal((await store.get(used, "a")).ws, ws(1))
    with pytest.raises(UnknownLatentError):
        await store.get(unused, "a")
    assert store.size == 1


async def test_the_least_recently_used_goes_first():
    store = MemoryLatentStore(2, 60)
    first, second = await store.put(Latent(ws(1)), "a"), await store.put(Latent(ws(2)), "a")
    await store.get(first, "a")
    third = await store.put(Latent(ws(3)), "a")
    assert store.size == 2
    for known in (first, third):
        await store.get(known, "a")
    with pytest.raises(UnknownLatentError):
        await store.get(second, "a")


async def test_codes_in_reused_slots_do_not_mix():
    store = MemoryLatentStore(300, 60)
    latent_ids = [await store.put(Latent(ws(i)), "a") for i in range(700)]
    for i, latent_id in enumerate(latent_ids[-300:], start=400):
        assert torch.equal((await store.get(latent_id, "a")).ws, ws(i))


def detailed(value):
    return Latent(ws(value), Detail(torch.full((2, 4, 4), float(value)).half(), ws(value - 1)))


async def test_a_stored_detail_is_returned_as_a_copy():
    store, latent = MemoryLatentStore(10, 60), detailed(3)
    latent_id = await store.put(latent, "a")
    for given in (latent, await store.get(latent_id, "a")):
        given.detail.tensor.zero_()
        given.detail.home.zero_()
    found = await store.get(latent_id, "a")
    assert (found.detail.tensor == 3).all()
    assert torch.equal(found.detail.home, ws(2))


async def test_latents_with_a_detail_have_a_bound_of_their_own():
    store = MemoryLatentStore(10, 60, detail_capacity=2)
    bare = await store.put(Latent(ws(9)), "a")
    first, second = await store.put(detailed(1), "a"), await store.put(detailed(2), "a")
    await store.get(first, "a")
    third = await store.put(detailed(3), "a")
    assert store.size == 3
    with pytest.raises(UnknownLatentError):
        await store.get(second, "a")
    for latent_id, value in ((bare, 9), (first, 1), (third, 3)):
        assert torch.equal((await store.get(latent_id, "a")).ws, ws(value))
