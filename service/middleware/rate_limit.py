"""Limits how often a caller may ask for work."""

import math
import time

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import RateLimitedError
from service.serving.gate import is_work
from service.wire.request_state import state_of


class RateLimitMiddleware:
    """Refuse requests for work beyond the caller's rate limit.

    Limits are per process: N replicas allow N times the rate.

    Args:
        app: The inner application.
        limits: Rate limits; all of them apply.
    """

    def __init__(self, app: ASGIApp, limits: list[RateLimitItem]) -> None:
        self.app = app
        self.limits = limits
        self.limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and is_work(scope["method"], scope["path"]):
            state = state_of(scope)
            for limit in self.limits:
                if not await self.limiter.hit(limit, state.owner):
                    window = await self.limiter.get_window_stats(limit, state.owner)
                    state.retry_after_s = max(1, math.ceil(window.reset_time - time.time()))
                    raise RateLimitedError(f"requests must be at most {limit}, got more")
        await self.app(scope, receive, send)
