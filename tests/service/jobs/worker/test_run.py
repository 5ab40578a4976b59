"""What a run of a refine job tells the queue."""

import pytest

from service.jobs.lease import Leases
from service.jobs.worker.held import Intervals
from service.jobs.worker.metrics import WorkerTelemetry
from service.jobs.worker.run import Run
from service.redis_keys import job_key
from tests.model_core.tiny import tiny_refiner
from tests.service.jobs.conftest import submission

pytestmark = pytest.mark.anyio


async def test_only_what_is_saved_beyond_a_crash_counts_as_progress(make_store, valkey):
    job_id, _ = await make_store().submit(submission(50))
    leases, refiner = Leases(valkey.client, 30), tiny_refiner()

    def run(steps):
        """Do some steps and hand the job back; return the steps that were reached and saved."""
        asked = []

        def stopping():
            asked.append(1)
            return len(asked) > steps  # the first answer is about where it begins

        claim = leases.take().claim
        Run(leases, claim, refiner, Intervals(0.0, 0.0), WorkerTelemetry(), stopping).work()
        return tuple(int(value) for value in valkey.client.hmget(job_key(job_id), "step", "saved"))

    assert run(4) == (4, 4)
    assert run(2) == (6, 6)
    valkey.client.hset(job_key(job_id), "step", 12)  # where a worker crashed
    assert run(1) == (7, 6)
    valkey.client.hset(job_key(job_id), "step", 12)
    assert run(7) == (14, 14)
