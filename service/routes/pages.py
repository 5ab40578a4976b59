"""GET / and /docs: pages for trying the service; everything on them is served from here."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

STATIC = Path(__file__).parents[1] / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""Swagger UI sets styles on its elements."""
router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> FileResponse:
    """Return the page, under a policy that allows only our own files."""
    return _page("index.html", POLICY)


@router.get("/docs")
async def docs() -> FileResponse:
    """Return Swagger UI from our own files: the service works offline."""
    return _page("docs.html", DOCS_POLICY)


def _page(name: str, policy: str) -> FileResponse:
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return FileResponse(STATIC / name, headers=headers)
