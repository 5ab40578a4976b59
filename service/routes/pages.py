"""GET /: a page on which to try the service; nothing on it comes from elsewhere."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

INDEX = Path(__file__).parents[1] / "static" / "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> FileResponse:
    """Answer the page under a policy that lets nothing but our own files in."""
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return FileResponse(INDEX, headers=headers)
