"""Marks an edited film as made with AI: XMP in its file, and a signature if there is a certificate.

XMP goes into a box of its own at the end of an MP4 or MOV file (XMP specification, part 3, section
1.2.7.1); the comment that every container can hold is written where the film is joined.
"""

import struct
from pathlib import Path

from model_core.atomic_file import partial_file, publish
from model_core.output.provenance import COMPOSITE, xmp_packet
from service.errors import SigningError
from service.jobs.film_folder import MEDIA
from service.wire.signing import ContentSigner

XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
MARKED = (".mp4", ".mov")


class FilmMarker:
    """Marks films.

    Args:
        system_version: Version of the service and name of the generator.
        signer: Signs films; None without a certificate.
    """

    def __init__(self, system_version: str, signer: ContentSigner | None) -> None:
        self._xmp, self._signer = xmp_packet(COMPOSITE, system_version), signer

    def check(self, film: Path) -> None:
        """Refuse a film that could not be signed in the end, before it is edited.

        Raises:
            SigningError: If films are signed, and this kind of file cannot be.
        """
        if self._signer is not None and film.suffix not in MARKED:
            raise SigningError(
                "Films are signed here, and this one's sound needs an MKV file, which cannot be: "
                "send it with its sound as AAC"
            )

    def mark(self, film: Path) -> None:
        """Mark a film, in place.

        Raises:
            SigningError: If it cannot be signed.
        """
        if film.suffix in MARKED:
            size = 8 + len(XMP_BOX) + len(self._xmp)
            with film.open("ab") as file:
                file.write(struct.pack(">I4s", size, b"uuid") + XMP_BOX + self._xmp)
        if self._signer is not None:
            with film.open("rb") as unsigned, partial_file(film) as signed:
                self._signer.sign_file(unsigned, MEDIA[film.suffix], COMPOSITE, signed)
                publish(signed, film)
