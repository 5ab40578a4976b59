"""Latent ids in a real Valkey: shared, bounded, and never in a request's way."""

import asyncio

import pytest
import torch
from prometheus_client import CollectorRegistry, Counter

from model_core.errors import ModelMismatchError
from service.errors import LatentsUnavailableError, UnknownLatentError
from service.latents.memory import MemoryLatentStore
from service.latents.redis import RedisLatentStore
from service.redis_keys import connect_async
from service.wire.codes import GeneratorId
from service.wire.sources import LATENT_ID
from tests.service.jobs.conftest import valkey  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio
GENERATOR = GeneratorId("g", "a" * 64, (18, 512))


@pytest.fixture
async def make(valkey):  # noqa: F811 - the fixture
    """Open stores as of several processes."""
    clients = []

    def make(capacity=10, ttl_s=60.0, generator=GENERATOR, rest_s=5.0):
        clients.append(connect_async(valkey.url))
        errors = Counter("errors", "", ("op",), registry=CollectorRegistry())
        own = MemoryLatentStore(capacity, ttl_s)
        return RedisLatentStore(
            clients[-1], own, lambda: generator, capacity, ttl_s, errors, rest_s
        )

    yield make
    for client in clients:
        await client.aclose()


def ws(value=0.0):
    return torch.full((18, 512), value)


async def test_another_process_finds_a_code_by_its_owner_and_id(make):
    latent_id = await make().put(ws(3), "me")
    assert LATENT_ID.fullmatch(latent_id)
    assert torch.equal(await make().get(latent_id, "me"), ws(3))
    with pytest.raises(UnknownLatentError):
        await make().get(latent_id, "you")


async def test_another_generators_code_is_refused(make):
    latent_id = await make().put(ws(), "me")
    with pytest.raises(ModelMismatchError):
        await make(generator=GeneratorId("h", "b" * 64, (18, 512))).get(latent_id, "me")


async def test_the_least_recently_used_goes_first(make, valkey):  # noqa: F811 - the fixture
    store = make(capacity=2)
    first, second = await store.put(ws(1), "me"), await store.put(ws(2), "me")
    await store.get(first, "me")
    third = await store.put(ws(3), "me")
    assert store.size == 2
    for known in (first, third):
        await store.get(known, "me")
    with pytest.raises(UnknownLatentError):
        await store.get(second, "me")
    assert len(valkey.client.keys("*latent:*")) == 2


async def test_ids_expire(make, valkey):  # noqa: F811 - the fixture
    store = make(ttl_s=0.05)
    latent_id = await store.put(ws(), "me")
    await asyncio.sleep(0.1)
    with pytest.raises(UnknownLatentError):
        await store.get(latent_id, "me")
    await store.put(ws(), "me")
    assert store.size == 1


async def test_codes_are_kept_here_while_redis_is_silent(make, valkey):  # noqa: F811
    store = make(rest_s=0.1)
    shared = await store.put(ws(1), "me")
    valkey.kill()
    kept = await store.put(ws(2), "me")
    assert torch.equal(await store.get(kept, "me"), ws(2))
    with pytest.raises(LatentsUnavailableError):
        await store.get(shared, "me")
    valkey.start()
    await asyncio.sleep(0.1)
    assert torch.equal(await store.get(shared, "me"), ws(1))
    assert torch.equal(await store.get(kept, "me"), ws(2))
