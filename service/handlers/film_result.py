"""The film that a job has made, as a download: in ranges, and given up where it stalls."""

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

STALL_S = 60.0  # for a client to take 64 kB


async def film_result(request: Request, runtime: Runtime, fields: Fields) -> Response:
    """Answer the film of a job.

    Raises:
        NoResultError: If there is none, or it has been deleted.
        NotAcceptableError: If its format is not acceptable.
    """
    if fields["state"] != "succeeded":
        raise NoResultError(
            f"job must have succeeded to have a film, got one that is {fields['state']}"
        )
    films = runtime.jobs.films
    path = (await films.folder()).result(fields["id"], fields["result"])
    negotiate(request, (MEDIA[path.suffix],))
    if not await run_sync(path.is_file):
        raise NoResultError("The film has been deleted.")
    return FilmResponse(path, f"wplus-{fields['id']}{path.suffix}", films.downloads)


class FilmResponse(FileResponse):
    """A film's file, or a range of it.

    Args:
        path: The file.
        name: What a client may call it.
        downloads: Places for downloads.
    """

    def __init__(self, path: Path, name: str, downloads: Streams) -> None:
        super().__init__(
            path,
            media_type=MEDIA[path.suffix],
            filename=name,
            content_disposition_type="inline",
            headers=PROVENANCE_HEADER,
        )
        self._downloads = downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            ClientDisconnect: If the client takes nothing for a minute.
        """
        refused: list[int] = []

        async def send_soon(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused.append(message["status"])
            if refused:  # plain text, which `_refuse` replaces
                return
            with anyio.move_on_after(STALL_S) as patience:
                await send(message)
            if patience.cancelled_caught:
                raise ClientDisconnect

        state = state_of(scope)
        with self._downloads.enter():
            state.begin_download()
            inside = {**scope, "method": "HEAD"} if state.is_head else scope
            await super().__call__(inside, receive, send_soon)
        if refused:
            await self._refuse(scope, refused[0])(scope, receive, send)

    def _refuse(self, scope: Scope, status: int) -> Response:
        if status == 416:
            size = self.headers["content-length"]
            return problem(
                scope,
                416,
                "range-not-satisfiable",
                "The film does not have that range",
                f"Range must lie within {size} bytes, got one that does not",
                headers={"Content-Range": f"bytes */{size}"},
            )
        return problem(
            scope,
            status,
            "bad-request",
            "The request cannot be read",
            "Range must be bytes=FIRST-LAST, got another form",
        )
