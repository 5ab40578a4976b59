"""One warm service for all tests that need no start of their own.

It is guarded by keys and logs JSON. It runs by eager torch: what is compiled, and when, is tested
where that is the point, and nothing else waits for it.
"""

import hashlib

import httpx2 as httpx
import pytest

from tests.e2e.running import ASTRONAUT, Service, patience

KEYS = {"ann": "ann-Zx81-Qw27-Lk55", "bob": "bob-Rt64-Pp09-Vb33"}
BEARER = {"Authorization": f"Bearer {KEYS['ann']}"}
CROWD, QUEUE, BATCH = 200, 16, 2


@pytest.fixture(scope="session")
def service(cache, tmp_path_factory):
    """One warm service for all tests that need no start of their own."""
    keys = tmp_path_factory.mktemp("secrets") / "keys"
    rows = (f"{name} {hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
    keys.write_text("\n".join(rows))
    running = Service(
        cache,
        backend="eager",
        api_keys=keys,
        log_format="json",
        metrics_port=0,
        queue_size=QUEUE,
        max_batch=BATCH,
        max_inflight=2 * CROWD,
    )
    try:
        running.wait_for(lambda: running.url)
        running.wait_for(lambda: httpx.get(f"{running.url}/readyz", timeout=60).is_success)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def client(service):
    url, timeout = service.url, patience(120)
    with httpx.Client(base_url=url, headers=BEARER, timeout=timeout) as client:
        yield client


@pytest.fixture(scope="session")
def embedded(client):
    """The answer to the astronaut's photo."""
    answer = client.post("/embed?return=both&format=png", files={"image": ASTRONAUT})
    assert answer.status_code == 200, answer.text
    return answer.json()
