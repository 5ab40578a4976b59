"""Stands for the service in tests: runs a Valkey and a worker of its own until it is killed.

`python -m tests.service.jobs.parent CACHE` prints the server's URL and both process ids.
"""

import asyncio
import sys
from pathlib import Path

from service.jobs.embedded import Embedded
from service.settings import Settings


async def main(cache):
    worker = [sys.executable, "-m", "tests.service.jobs.tiny"]
    embedded = Embedded(Settings(cache=cache, job_lease_s=1, job_save_s=0.1), worker)
    url = embedded.start_server()
    embedded.start_worker(url)
    print(url, embedded.server.pid, embedded.worker.pid, flush=True)
    await asyncio.gather(embedded.server.keep(), embedded.worker.keep())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
