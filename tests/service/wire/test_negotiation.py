"""Accept headers."""

import pytest
from starlette.requests import Request

from service.errors import NotAcceptableError
from service.wire.negotiation import CODES, IMAGES, JSON, negotiate

OFFERS = (JSON, *IMAGES, *CODES)


def request(*accepts):
    headers = [(b"accept", accept.encode()) for accept in accepts]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["image/*"], "image/jpeg"),
        (["image/png"], "image/png"),
        (["IMAGE/PNG; q=0.5"], "image/png"),
        (["image/png;q=0.2, image/webp;q=0.9"], "image/webp"),
        (["text/html, image/webp, */*;q=0.8"], "image/webp"),
        (["image/*;q=0.5, image/jpeg;q=0"], "image/png"),
        (["*/*;q=0.1, application/x-npy"], "application/x-npy"),
        (["text/html", "image/webp"], "image/webp"),
        (["image/avif, application/json;q=0.1"], JSON),
    ],
)
def test_the_most_preferred_offer_is_chosen(accept, chosen):
    assert negotiate(request(*accept), OFFERS) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "*/*;q=0", "image/png;q=x"])
def test_no_acceptable_media_type_is_refused(accept):
    with pytest.raises(NotAcceptableError, match=r"Accept must allow one of application/json"):
        negotiate(request(accept), OFFERS)
