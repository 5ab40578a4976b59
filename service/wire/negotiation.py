"""Choosing the representation that an Accept header asks for."""

from starlette.requests import Request

from service.errors import NotAcceptableError

JSON = "application/json"
NPY = "application/x-npy"
SAFETENSORS = "application/vnd.safetensors"
IMAGES = ("image/jpeg", "image/png", "image/webp")
ANIMATIONS = ("image/webp", "image/gif")
CODES = (NPY, SAFETENSORS)


def negotiate(request: Request, offers: tuple[str, ...]) -> str:
    """Pick the offer that the request's Accept header prefers; among equals, the first.

    Args:
        request: The request; without the header, anything is accepted.
        offers: Media types, the default first.

    Raises:
        NotAcceptableError: If none is acceptable.
    """
    accept = ",".join(request.headers.getlist("accept")) or "*/*"
    ranges = [_read(part) for part in accept.split(",") if part.strip()]
    best = max(offers, key=lambda offer: _liking(offer, ranges))
    if _liking(best, ranges) <= 0:
        raise NotAcceptableError(f"Accept must allow one of {', '.join(offers)}, got {accept}")
    return best


def _read(part: str) -> tuple[str, float]:
    """Split a media range from its weight; a weight that is not a number counts as 0."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return media, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return media, 0.0


def _liking(offer: str, ranges: list[tuple[str, float]]) -> float:
    """Weight of the most specific range that covers the offer; 0 if none does."""
    kind = offer.partition("/")[0]
    weights = dict(ranges)
    return next((weights[r] for r in (offer, f"{kind}/*", "*/*") if r in weights), 0.0)
