"""Send calls to the service and retry them: one connection that blocks, one for asyncio."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar

import httpx2 as httpx

from wplus_client.calls import Call
from wplus_client.retries import Retries

T = TypeVar("T")
P = ParamSpec("P")


class Connection:
    """Calls the service and blocks until it answers.

    Args:
        url: Where the service is.
        key: The API key, if the service requires one.
        timeout_s: Longest wait for one answer.
        tries: Attempts while the service is busy or cannot be reached.
        http: Further arguments for httpx2.Client, such as `verify` or `proxy`.

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
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, **http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, make: Callable[P, Call[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Build a call of `wplus_client.calls`, send it and read its answer."""
        call = make(*arguments, **options)
        return call.read(self.send(call.method, call.path, **call.request))

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
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
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as err:
                wait_s = self._retries.after_failure(err, attempt)
            else:
                pause_s = self._retries.after_answer(answer, attempt)
                if pause_s is None:
                    return answer
                wait_s = pause_s
            time.sleep(wait_s)

    def download(self, path: str, target: Path) -> None:
        """Write an answer to a file as it arrives; the file appears when it is complete.

        Raises:
            ServiceError, UnreachableError, httpx2.TransportError: As `send`.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._http.stream("GET", path) as answer:
                    if not answer.is_success:
                        answer.read()
                    pause_s = self._retries.after_answer(answer, attempt)
                    if pause_s is None:
                        with partial_file(target) as file:
                            for chunk in answer.iter_bytes():
                                file.write(chunk)
                        return
                    wait_s = pause_s
            except httpx.TransportError as err:
                wait_s = self._retries.after_failure(err, attempt)
            time.sleep(wait_s)


class AsyncConnection:
    """Calls the service from asyncio; arguments and errors are those of `Connection`."""

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, make: Callable[P, Call[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Build a call of `wplus_client.calls`, send it and read its answer.

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

    async def download(self, path: str, target: Path) -> None:
        """Write an answer to a file as it arrives; the file appears when it is complete.

        Raises:
            ServiceError, UnreachableError, httpx2.TransportError: As `send`.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._http.stream("GET", path) as answer:
                    if not answer.is_success:
                        await answer.aread()
                    pause_s = self._retries.after_answer(answer, attempt)
                    if pause_s is None:
                        with partial_file(target) as file:
                            async for chunk in answer.aiter_bytes():
                                await asyncio.to_thread(file.write, chunk)
                        return
                    wait_s = pause_s
            except httpx.TransportError as err:
                wait_s = self._retries.after_failure(err, attempt)
            await asyncio.sleep(wait_s)


@contextmanager
def partial_file(target: Path) -> Iterator[BinaryIO]:
    """Open a file next to the target that takes its name at the end, or is removed on an error."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
