"""The pictures that a change of faces makes of a photo, rendered and then encoded.

Rendering belongs on the thread of the device; the rest may run on another thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model_core.batch.codes import faces_at_once, latents_of
from model_core.batch.preparation import Look, PreparedPhoto, Which
from model_core.compositing.insertion import BlendChoice, insert
from model_core.compositing.luminance import with_luminance
from model_core.errors import TooManyPixelsError
from model_core.latents.latent import Latent
from model_core.output.encoding import LONGEST_PX, Format, encode_image
from model_core.output.input_marks import InputMarks, xmp_after
from model_core.output.provenance import COMPOSITE, GENERATED, system_version
from model_core.predictor import Predictor
from model_core.shapes import Faces, Pixels, SquarePixels

Output = Literal["face", "photo"]


@dataclass(frozen=True, slots=True)
class FaceChange:
    """What becomes of every face.

    Attributes:
        make: Returns the new latent of a face, given its own.
        settings: Everything that it depends on, for the folder's settings.
        keep_luminance: Whether the new face takes the luminance of the photo.
    """

    make: Callable[[Latent], Latent]
    settings: dict[str, Any]
    keep_luminance: bool = False


@dataclass(frozen=True, slots=True)
class Pictures:
    """Which pictures to make.

    Attributes:
        output: Each face alone, or the photo with the new faces in it.
        which: All faces of a photo, or its largest.
        blend: How faces are put into the photo.
        form: Format of the files.
        quality: 1 to 100, of JPEG and WebP.
    """

    output: Output = "face"
    which: Which = "all"
    blend: BlendChoice = "auto"
    form: Format = "jpeg"
    quality: int = 95

    @property
    def suffix(self) -> str:
        """Suffix of the files."""
        return {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[self.form]

    def look(self, change: FaceChange, predictor: Predictor) -> Look:
        """Return what must be prepared of each photo."""
        whole = self.output == "photo"
        crops = change.keep_luminance and not whole
        return Look(self.which, whole, predictor.img_resolution if crops else None)


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """The rendered faces of a photo.

    Attributes:
        new: The changed faces.
        own: The photo's own faces; empty unless they are needed.
    """

    new: list[SquarePixels]
    own: list[SquarePixels]


def render_changed(
    photo: PreparedPhoto, predictor: Predictor, change: FaceChange, wanted: Pictures
) -> Rendered:
    """Embed the faces of a photo, change them and render them, a few at a time.

    Raises:
        RuntimeError: torch's, if the device's memory is full, say.
    """
    new: list[SquarePixels] = []
    own: list[SquarePixels] = []
    count = faces_at_once(predictor)
    for start in range(0, len(photo.faces), count):
        part = photo.faces[start : start + count]
        faces: Faces = np.stack([face.image for face in part])
        latents = latents_of(predictor, faces, predictor.embed(faces))
        # The own faces first: what was computed for their detail is still there.
        if wanted.output == "photo":
            own += list(predictor.render(latents))
        new += list(predictor.render([change.make(latent) for latent in latents]))
    return Rendered(new, own)


def encode_changed(
    photo: PreparedPhoto,
    rendered: Rendered,
    change: FaceChange,
    wanted: Pictures,
    generator_name: str,
) -> list[bytes]:
    """Make the files of a photo: one for each face, or one with all of them.

    Raises:
        TooManyPixelsError: If the format cannot hold the photo.
    """
    if photo.pixels is not None:
        pixels = photo.pixels.copy()
        _check_longest(pixels, wanted.form)
        # The largest is the nearest: it is pasted last.
        for face, new, own in reversed(
            list(zip(photo.faces, rendered.new, rendered.own, strict=True))
        ):
            insert(pixels, face.quad, new, own, wanted.blend, change.keep_luminance)
        return [_encode(pixels, wanted, COMPOSITE, generator_name, photo.marks)]
    files = []
    for face, new in zip(photo.faces, rendered.new, strict=True):
        if face.crop is None:
            files.append(_encode(new, wanted, GENERATED, generator_name))
        else:
            shown = with_luminance(new, face.crop)
            files.append(_encode(shown, wanted, COMPOSITE, generator_name, photo.marks))
    return files


def names_of(name: str, wanted: Pictures, files: Sequence[bytes]) -> list[str]:
    """Return the names of a photo's files: ann.jpg.1.jpg is the second face of ann.jpg."""
    if wanted.output == "photo":
        return [f"{name}{wanted.suffix}"]
    return [f"{name}.{index}{wanted.suffix}" for index in range(len(files))]


def last_name(name: str, wanted: Pictures) -> str:
    """Return the name of the file that is written last, without which a photo is not finished."""
    return names_of(name, wanted, [b""])[0]


def _encode(
    pixels: Pixels,
    wanted: Pictures,
    source_type: str,
    generator_name: str,
    marks: InputMarks | None = None,
) -> bytes:
    _, xmp = xmp_after(source_type, system_version(generator_name), marks)
    return encode_image(pixels, wanted.form, wanted.quality, xmp)


def _check_longest(photo: Pixels, form: Format) -> None:
    longest, most = max(photo.shape[:2]), LONGEST_PX[form]
    if longest > most:
        raise TooManyPixelsError(
            f"photo must be at most {most} px long to be written as {form}, got {longest}: "
            "choose another format, such as png"
        )
