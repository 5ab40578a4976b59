"""The film that a job has made, as a download: in ranges, and given up where it stalls."""

import os
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from service.errors import NoResultError
from service.handlers.runtime import Runtime
from service.handlers.writer import PROVENANCE_HEADER
from service.jobs.film_folder import MEDIA
from service.jobs.sse import Streams
from service.jobs.store import Fields
from service.wire.negotiation import negotiate
from service.wire.problems import problem
from service.wire.request_state import state_of

GONE = (
    "The film is not there any more: it has been deleted, or WPLUS_FILMS names another folder now."
)
STALL_S = 60.0  # for a client to take 64 kB


async def film_result(request: Request, runtime: Runtime, fields: Fields) -> Response:
    """Answer the film of a job.

    Raises:
        NoResultError: If there is none, or it has been deleted.
        FilmElsewhereError: If it is not known where it is.
        NotAcceptableError: If its format is not acceptable.
    """
    if fields["state"] != "succeeded":
        raise NoResultError(
            f"job must have succeeded to have a film, got one that is {fields['state']}"
        )
    films = runtime.jobs.films
    path = (await films.kept()).result(fields["id"], fields["result"])
    negotiate(request, (MEDIA[path.suffix],))
    try:
        stat = await run_sync(path.stat)
    except FileNotFoundError:
        raise NoResultError(GONE) from None
    return FilmResponse(path, f"wplus-{fields['id']}{path.suffix}", stat, films.downloads)


class FilmResponse(FileResponse):
    """A film's file, or a range of it; a `Range` that cannot be read is ignored.

    Args:
        path: The file.
        name: What a client may call it.
        stat: The file's.
        downloads: Places for downloads.
    """

    def __init__(self, path: Path, name: str, stat: os.stat_result, downloads: Streams) -> None:
        super().__init__(
            path,
            media_type=MEDIA[path.suffix],
            filename=name,
            content_disposition_type="inline",
            headers=PROVENANCE_HEADER,
            stat_result=stat,
        )
        self._downloads = downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            NoResultError: If it has just been deleted.
            ClientDisconnect: If the client takes nothing for a minute.
        """
        state = state_of(scope)
        with self._downloads.enter():
            state.begin_download()
            inside = {**scope, "method": "HEAD"} if state.is_head else scope
            refused = await self._answer(inside, receive, send)
            if refused == 400:  # another unit, or no range at all (RFC 9110, 14.2)
                refused = await self._answer(_without_range(inside), receive, send)
        if refused is not None:
            await self._refuse(scope)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> int | None:
        """Send the film, unless its range is refused; return the status of the refusal."""
        start: Message | None = None
        refused: int | None = None

        async def send_soon(message: Message) -> None:
            nonlocal start, refused
            if message["type"] == "http.response.start":
                # The file is opened only now, and may be gone.
                start = message
                refused = message["status"] if message["status"] >= 400 else None
                return
            if refused is not None:  # plain text, which `_refuse` replaces
                return
            with anyio.move_on_after(STALL_S) as patience:
                if start is not None:
                    await send(start)
                    start = None
                await send(message)
            if patience.cancelled_caught:
                raise ClientDisconnect

        try:
            await super().__call__(scope, receive, send_soon)
        except FileNotFoundError:
            if start is None:
                raise
            raise NoResultError(GONE) from None
        return refused

    def _refuse(self, scope: Scope) -> Response:
        size = self.headers["content-length"]
        return problem(
            scope,
            416,
            "range-not-satisfiable",
            "The film does not have that range",
            f"Range must lie within {size} bytes, got one that does not",
            headers={"Content-Range": f"bytes */{size}"},
        )


def _without_range(scope: Scope) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"range"]
    return {**scope, "headers": headers}
