"""Telling photos, codes and latent ids apart."""

import pytest
import torch

from model_core.latents.latent import Latent
from service.errors import EmptyBodyError, InvalidRequestError
from service.wire.codes import GeneratorId, write_npy, write_safetensors
from service.wire.sources import (
    CodeSource,
    LatentSource,
    PhotoSource,
    source_of_file,
    source_of_text,
)
from tests.service import photos

WS = torch.zeros(18, 512)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (photos.plain(), PhotoSource),
        (photos.plain(form="PNG"), PhotoSource),
        (b"anything else", PhotoSource),
        (write_npy(WS), CodeSource),
        (write_safetensors(Latent(WS), GeneratorId("g", "f", (18, 512))), CodeSource),
    ],
    ids=["jpeg", "png", "other", "npy", "safetensors"],
)
def test_files_are_recognised_by_their_first_bytes(data, kind):
    assert isinstance(source_of_file("image", data), kind)


def test_an_empty_file_is_refused():
    with pytest.raises(EmptyBodyError, match="gray must not be empty"):
        source_of_file("gray", b"")


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("code", " [[1]]", CodeSource(" [[1]]")),
        ("gray", '{"data": []}', CodeSource('{"data": []}')),
        ("gray", "A" * 22, LatentSource("A" * 22)),
        ("latent_id", "whatever", LatentSource("whatever")),
    ],
)
def test_texts_are_codes_or_latent_ids(name, text, source):
    assert source_of_text(name, text) == source


def test_a_forgotten_at_sign_is_explained():
    with pytest.raises(InvalidRequestError, match=r"-F image=@photo\.jpg") as caught:
        source_of_text("image", "photo.jpg")
    assert caught.value.errors[0]["pointer"] == "#/image"
