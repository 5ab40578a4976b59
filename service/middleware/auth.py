"""Identifies the caller: by API key if keys are required, else all callers are the same one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api_keys import ANONYMOUS, PUBLIC, PUBLIC_FOLDER, KeyRing
from service.errors import UnauthorizedError
from service.observability.metrics import Telemetry
from service.wire.request_state import state_of


class AuthMiddleware:
    """Put the caller's name into the request's state, or refuse the request.

    Probes, the page and the API's description need no key.

    Args:
        app: The inner application.
        keys: The accepted keys; None admits everybody as one caller.
        telemetry: Counts refusals.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing | None, telemetry: Telemetry) -> None:
        self.app = app
        self.keys = keys
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, owner = scope["path"], ANONYMOUS
        if self.keys is not None and path not in PUBLIC and not path.startswith(PUBLIC_FOLDER):
            owner = self._owner(self.keys, Headers(scope=scope))
        state_of(scope).owner = owner
        await self.app(scope, receive, send)

    def _owner(self, keys: KeyRing, headers: Headers) -> str:
        """Return the owner of the key in the headers.

        Raises:
            UnauthorizedError: If there is no key, or it is unknown.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme and scheme.lower() != "bearer":
            raise self._refusal("scheme", "Authorization must use the Bearer scheme, got another")
        key = key.strip() or headers.get("x-api-key", "")
        if not key:
            raise self._refusal("missing", "an API key must be given, got none")
        owner = keys.owner_of(key)
        if owner is None:
            raise self._refusal("unknown", "the API key must be a known one, got an unknown one")
        return owner

    def _refusal(self, reason: str, detail: str) -> UnauthorizedError:
        self.telemetry.auth_failures.labels(reason=reason).inc()
        return UnauthorizedError(detail)
