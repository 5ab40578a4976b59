"""What a photo's file says besides its pixels never leaves, in whatever form the answer comes."""

import base64

import pytest
from PIL import Image

from tests.service import photos

SECRETS = {b"Ann Example", b"51.4779", b"made at home", b"secret caption"}


@pytest.fixture(scope="module")
def photo():
    """A JPEG with owner, place, comment and caption in EXIF, XMP and elsewhere."""
    exif = Image.Exif()
    exif[0x013B] = "Ann Example"  # artist
    exif[0x8825] = {1: "N", 2: (51.0, 28.0, 40.0), 29: "51.4779"}  # place
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>secret caption</x:xmpmeta>"
    data = photos.encode(photos.noise((256, 256)), exif=exif, xmp=xmp, comment=b"made at home")
    assert all(secret in data for secret in SECRETS)
    return data


def assert_silent(data):
    assert not any(secret in data for secret in SECRETS)
    assert b"Exif\0\0" not in data


@pytest.mark.parametrize(
    "media", ["image/jpeg", "image/png", "image/webp", "application/x-npy", "application/json"]
)
@pytest.mark.parametrize("keep_luminance", ["true", "false"])
def test_nothing_else_of_the_file_is_sent(client, photo, media, keep_luminance):
    answers = [
        client.post("/embed?return=both", files={"image": photo}, headers={"Accept": media}),
        client.post(
            "/colorize",
            files={"gray": photo, "color": photo},
            data={"keep_luminance": keep_luminance},
            headers={"Accept": media},
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert_silent(answer.content)
        if media == "application/json":
            image = base64.b64decode(answer.json()["image"]["data"])
            assert b"trainedAlgorithmicMedia" in image or b"TrainedAlgorithmicMedia" in image
            assert_silent(image)


@pytest.mark.parametrize("media", ["image/webp", "image/gif"])
def test_animations_contain_no_photo_metadata(client, photo, media):
    photos_ = [("image", photo), ("image", photo)]
    answer = client.post("/morph?steps=2", files=photos_, headers={"Accept": media})
    assert answer.status_code == 200
    assert_silent(answer.content)
