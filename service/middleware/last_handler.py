"""The last handler: any error not handled elsewhere becomes a 500 problem and is logged."""

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.wire.problems import problem_of

logger = logging.getLogger("service.last_handler")


class LastHandlerMiddleware:
    """Answer errors from the inner middleware by the table, unknown ones as 500.

    Args:
        app: The inner application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except ClientDisconnect:
            logger.debug("the client disconnected")
        except Exception as error:
            response = problem_of(scope, error)
            if started:  # too late for another answer: the server cuts the connection
                raise
            await response(scope, receive, send)
