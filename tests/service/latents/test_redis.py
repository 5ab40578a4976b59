"""Latent ids in a real Valkey: shared, bounded, and never in a request's way."""

import asyncio

import pytest
import torch
from prometheus_client import CollectorRegistry, Counter

from model_core.errors import ModelMismatchError
from model_core.latents.latent import Detail, Latent
from service.errors import LatentsUnavailableError, UnknownLatentError
from service.latents.memory import MemoryLatentStore
from service.latents.redis import RedisLatentStore
from service.redis_keys import connect_async
from service.wire.codes import DetailId, GeneratorId
from service.wire.sources import LATENT_ID
from tests.service.jobs.conftest import valkey  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio
DETAIL = DetailId("d" * 64, (2, 4, 4))
GENERATOR = GeneratorId("g", "a" * 64, (18, 512), DETAIL)


@pytest.fixture
async def make(valkey):  # noqa: F811 - the fixture
    """Open stores as of several processes."""
    clients = []

    def make(capacity=10, ttl_s=60.0, generator=GENERATOR, rest_s=5.0, detail_capacity=5):
        clients.append(connect_async(valkey.url))
        errors = Counter("errors", "", ("op",), registry=CollectorRegistry())
        own = MemoryLatentStore(capacity, ttl_s)
        return RedisLatentStore(
            clients[-1],
            own,
            lambda: generator,
            capacity,
            ttl_s,
            errors,
            detail_capacity,
            rest_s,
        )

    yield make
    for client in clients:
        await client.aclose()


def ws(value=0.0):
    return torch.full((18, 512), float(value))


async def test_another_process_finds_a_code_by_its_owner_and_id(make):
    latent_id = await make().put(Latent(ws(3)), "me")
    assert LATENT_ID.fullmatch(latent_id)
    assert torch.equal((await make().get(latent_id, "me")).ws, ws(3))
    with pytest.raises(UnknownLatentError):
        await make().get(latent_id, "you")


async def test_another_generators_code_is_refused(make):
    latent_id = await make().put(Latent(ws()), "me")
    with pytest.raises(ModelMismatchError):
        await make(generator=GeneratorId("h", "b" * 64, (18, 512))).get(latent_id, "me")


async def test_the_least_recently_used_goes_first(make, valkey):  # noqa: F811 - the fixture
    store = make(capacity=2)
    first, second = await store.put(Latent(ws(1)), "me"), await store.put(Latent(ws(2)), "me")
    await store.get(first, "me")
    third = await store.put(Latent(ws(3)), "me")
    assert store.size == 2
    for known in (first, third):
        await store.get(known, "me")
    with pytest.raises(UnknownLatentError):
        await store.get(second, "me")
    assert len(valkey.client.keys("*latent:*")) == 2


async def test_ids_expire(make, valkey):  # noqa: F811 - the fixture
    store = make(ttl_s=0.05)
    latent_id = await store.put(Latent(ws()), "me")
    await asyncio.sleep(0.1)
    with pytest.raises(UnknownLatentError):
        await store.get(latent_id, "me")
    await store.put(Latent(ws()), "me")
    assert store.size == 1


async def test_codes_are_kept_in_the_process_while_redis_is_unreachable(make, valkey):  # noqa: F811
    store = make(rest_s=0.1)
    shared = await store.put(Latent(ws(1)), "me")
    valkey.kill()
    kept = await store.put(Latent(ws(2)), "me")
    assert torch.equal((await store.get(kept, "me")).ws, ws(2))
    with pytest.raises(LatentsUnavailableError):
        await store.get(shared, "me")
    valkey.start()
    await asyncio.sleep(0.1)
    assert torch.equal((await store.get(shared, "me")).ws, ws(1))
    assert torch.equal((await store.get(kept, "me")).ws, ws(2))


def detailed(value):
    return Latent(ws(value), Detail(torch.full((2, 4, 4), float(value)).half(), ws(value - 1)))


async def test_a_detail_round_trips_with_its_home(make):
    latent_id = await make().put(detailed(3), "me")
    found = await make().get(latent_id, "me")
    assert torch.equal(found.ws, ws(3))
    assert torch.equal(found.detail.tensor, detailed(3).detail.tensor)
    assert torch.equal(found.detail.home, ws(2))


async def test_latents_with_a_detail_have_a_bound_of_their_own(make):
    store = make(detail_capacity=2)
    bare = await store.put(Latent(ws(9)), "me")
    first, second = await store.put(detailed(1), "me"), await store.put(detailed(2), "me")
    await store.get(first, "me")
    third = await store.put(detailed(3), "me")
    with pytest.raises(UnknownLatentError):
        await store.get(second, "me")
    for latent_id, value in ((bare, 9), (first, 1), (third, 3)):
        assert torch.equal((await store.get(latent_id, "me")).ws, ws(value))


async def test_a_detail_of_another_encoder_is_refused(make):
    latent_id = await make().put(detailed(1), "me")
    other = GeneratorId("g", "a" * 64, (18, 512), DetailId("e" * 64, (2, 4, 4)))
    with pytest.raises(ModelMismatchError, match="detail encoder"):
        await make(generator=other).get(latent_id, "me")
    bare = await make(generator=other).get(latent_id, "me", with_detail=False)
    assert torch.equal(bare.ws, ws(1))
    assert bare.detail is None
