"""Pure ASGI middleware, one concern a file (Starlette's BaseHTTPMiddleware hides disconnects)."""
