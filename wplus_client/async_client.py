"""The client for asyncio: the methods of `Client`, to be awaited.

async with AsyncClient("http://127.0.0.1:8000") as client:
    ann, bob = await asyncio.gather(client.embed("ann.jpg"), client.embed("bob.jpg"))
    (await client.morph(ann, bob)).save("both.jpg")
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar, overload

import httpx2 as httpx

from wplus_client import calls
from wplus_client.calls import Call
from wplus_client.face import Face
from wplus_client.progress import Status, progress_bar, timed_out
from wplus_client.retries import Retries
from wplus_client.sources import Source

T = TypeVar("T")
P = ParamSpec("P")


class AsyncClient:
    """Calls the service from asyncio; arguments, results and errors are those of `Client`.

    Args:
        url: Where the service is.
        key: The API key, if the service requires one.
        timeout_s: Longest wait for one answer.
        tries: Attempts while the service is busy or cannot be reached.
        http: Further arguments for httpx2.AsyncClient, such as `verify` or `proxy`.

    Raises:
        ValueError: If the URL is not http or https, or tries is less than 1.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        tries: int = 4,
        **http: Any,
    ) -> None:
        self._retries = Retries(url, tries)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_s, **http)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def embed(self, photo: Source, **options: Any) -> Face:
        """Find the code of the face in a photo."""
        return await self.run(calls.embed, photo, options)

    async def quality(self, photo: Source, face: Source, **options: Any) -> dict[str, Any]:
        """Measure how close a face comes to a photo, after `embed(photo, quality=False)`."""
        return await self.run(calls.quality, photo, face, options)

    @overload
    async def morph(
        self, first: Source, second: Source, *, steps: int, **options: Any
    ) -> list[Face]: ...

    @overload
    async def morph(
        self, first: Source, second: Source, lam: float | None = None, **options: Any
    ) -> Face: ...

    async def morph(
        self, first: Source, second: Source, lam: float | None = None, **options: Any
    ) -> Face | list[Face]:
        """Blend two faces: `lam` is the share of the first; with `steps` it returns frames."""
        if options.get("steps") is None:
            return await self.run(calls.morph, first, second, lam, options)
        return await self.run(calls.morph_frames, first, second, options | {"lam": lam})

    async def colorize(self, gray: Source, color: Source, **options: Any) -> Face:
        """Give the grey face the colours of the other."""
        return await self.run(calls.colorize, gray, color, options)

    async def merge(self, identity: Source, attribute: Source, **options: Any) -> Face:
        """Combine the identity of one photo with the pose, hair and light of another."""
        return await self.run(calls.merge, identity, attribute, options)

    async def edit(
        self,
        source: Source,
        /,
        direction: str | None = None,
        strength: float | None = None,
        *,
        directions: Mapping[str, float] | None = None,
        unsafe: bool = False,
        photo: Source | None = None,
        **options: Any,
    ) -> Face:
        """Change one attribute of a face or several; see `Client.edit`."""
        options |= {"unsafe": unsafe or None}
        values = (direction, strength, directions)
        return await self.run(calls.edit, source, *values, photo, options)

    async def generate(
        self, code: Source | None = None, *, seed: int | None = None, **options: Any
    ) -> Face:
        """Render a code or an earlier face, or a random face from a seed."""
        return await self.run(calls.generate, code, seed, options)

    async def refine(
        self, photo: Source, steps: int = 100, start: Source | None = None, **options: Any
    ) -> "AsyncJob":
        """Start a job that optimises a code for a photo; see `Client.refine`."""
        return AsyncJob(self, await self.run(calls.refine, photo, steps, start, options))

    async def jobs(self, limit: int = 20) -> list["AsyncJob"]:
        """List your refine jobs, the newest first."""
        return [AsyncJob(self, job_id) for job_id in await self.run(calls.jobs, limit)]

    async def directions(self) -> list[dict[str, Any]]:
        """List what `edit` can change: name, title, unit, safe range and more of each."""
        return await self.run(calls.directions)

    async def version(self) -> dict[str, Any]:
        """Get the versions, the generator, the directions and the digests of the weights."""
        return await self.run(calls.version)

    async def run(
        self, make: Callable[P, Call[T]], /, *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Build a call, send it and read its answer.

        It is built in a thread, because that may read a file or compress an image.
        """
        call = await asyncio.to_thread(make, *arguments, **options)
        return call.read(await self.send(call.method, call.path, **call.request))

    async def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request; wait and retry while the service is busy or unreachable.

        Raises:
            ServiceError: If the service refuses it.
            UnreachableError: If nothing answers at its address.
            httpx2.TransportError: If the connection fails otherwise.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._http.request(method, path, **request)
            except httpx.TransportError as err:
                wait_s = self._retries.after_failure(err, attempt)
            else:
                pause_s = self._retries.after_answer(answer, attempt)
                if pause_s is None:
                    return answer
                wait_s = pause_s
            await asyncio.sleep(wait_s)


@dataclass(frozen=True)
class AsyncJob:
    """A refine job.

    Attributes:
        client: The client that started it.
        id: Its id.
    """

    client: AsyncClient = field(repr=False)
    id: str

    async def status(self) -> Status:
        """Get its status: `state`, and `progress` with step, loss, psnr, lpips, eta_s."""
        return await self.client.run(calls.job_status, self.id)

    async def cancel(self) -> None:
        """Stop it after the current step; the best code so far remains its result."""
        await self.client.run(calls.cancel_job, self.id)

    async def result(self, **options: Any) -> Face:
        """Get its result: the best code, once it has ended; see `Job.result`."""
        return await self.client.run(calls.job_result, self.id, options)

    async def wait(
        self, progress: bool = False, timeout_s: float = math.inf, poll_s: float = 1.0
    ) -> Face:
        """Wait until it ends, and return its result; see `Job.wait`."""
        end_s = time.monotonic() + timeout_s
        with progress_bar(progress) as bar:
            while not bar.show(status := await self.status()):
                if time.monotonic() > end_s:
                    raise timed_out(timeout_s, status)
                await asyncio.sleep(poll_s)
        return await self.result()
