"""Signs outgoing images with a C2PA manifest: who made them, by what, and that nothing changed.

The manifest is the last thing added: saving the image again removes it. All functions block.
Source: C2PA specification 2.2; IPTC's digital source types.
"""

import io
import json
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from PIL import Image

from model_core.errors import UnsupportedImageError
from model_core.output.provenance import GENERATED, SOURCE_TYPES, SYSTEM
from model_core.photos.formats import find_format
from service.errors import SigningError
from service.settings import Settings

EXTRA = "pip install 'wplus[c2pa]'"
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},  # it would be as large as the image
    # A photo's manifest may name addresses, which a caller has chosen.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
TIMESTAMP_S = 10.0  # longest wait for a time-stamped signature
TIMESTAMPS_AT_ONCE = 4
ANSWER_S = 0.2  # left of a request's time after signing, for its answer
PARENT = "photo"
ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}

logger = logging.getLogger("service.wire.signing")


class ContentSigner:
    """Adds a manifest to JPEG, PNG, WebP and GIF files; one instance serves any thread.

    Args:
        certificate: PEM file of the certificate and those that signed it, the own one first.
        key: PEM file of its private key: EC, RSA or Ed25519.
        timestamp_url: Time-stamp authority to ask for each signature; None leaves the time out.
        version: Version of the service.

    Raises:
        SigningError: If a file cannot be read, the package is missing, or signing a small image
            fails; the message names files, never their content.
    """

    def __init__(self, certificate: Path, key: Path, timestamp_url: str | None, version: str):
        try:
            import c2pa  # in an extra
            from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError as err:
            raise SigningError(
                f"signing images needs the package {err.name}, got none: {EXTRA}"
            ) from err
        self._c2pa, self._version = c2pa, version
        self._timestamp_url = timestamp_url
        self._threads = ThreadPoolExecutor(TIMESTAMPS_AT_ONCE, thread_name_prefix="time-stamp")
        try:
            self._certificate, self._key = certificate.read_bytes(), key.read_bytes()
            private = load_pem_private_key(self._key, None)
        except OSError as err:
            raise SigningError(f"{err.filename} must be a file that can be read") from None
        except (ValueError, TypeError):
            raise SigningError(f"{key} must be a PEM private key without a password") from None
        match private:
            case ec.EllipticCurvePrivateKey() if private.curve.name in ALGORITHMS:
                self._algorithm = ALGORITHMS[private.curve.name]
            case rsa.RSAPrivateKey():
                self._algorithm = "ps256"
            case ed25519.Ed25519PrivateKey():
                self._algorithm = "ed25519"
            case _:
                raise SigningError(f"{key} must be an EC, RSA or Ed25519 key, got another")
        self._try_out(certificate)

    @property
    def waits(self) -> bool:
        """Whether signing asks a time-stamp authority, which may take seconds to answer."""
        return self._timestamp_url is not None

    def sign(
        self,
        data: bytes,
        media: str,
        source_type: str,
        photo: bytes | None = None,
        left_s: float = math.inf,
    ) -> bytes:
        """Add a manifest to a file.

        Args:
            data: The whole file.
            media: Its media type.
            source_type: IPTC's digital source type, from `provenance`.
            photo: File of the photo that it shows in part: a manifest of it is kept, as that of
                the parent.
            left_s: Seconds until the request must be answered.

        Raises:
            SigningError: If it cannot be signed, for instance because the time-stamp authority
                does not answer in time.
        """
        url = self._timestamp_url
        if url is None:
            return self._sign(data, media, source_type, photo, None)
        limit_s = min(TIMESTAMP_S, left_s - ANSWER_S)
        return self._within(limit_s, lambda: self._sign(data, media, source_type, photo, url))

    def sign_file(self, data: IO[bytes], media: str, source_type: str, out: IO[bytes]) -> None:
        """Write a file with a manifest, such as a film, which is not held in memory.

        Args:
            data: The file, open for reading.
            media: Its media type.
            source_type: IPTC's digital source type, from `provenance`.
            out: The signed file, open for reading and writing.

        Raises:
            SigningError: If it cannot be signed.
        """
        self._sign_stream(data, media, source_type, None, self._timestamp_url, out)

    def _within(self, limit_s: float, work: Callable[[], bytes]) -> bytes:
        """Run work that calls a time-stamp authority, on one of a few threads of its own.

        The library cannot be interrupted: a call without an answer keeps its thread until the
        library gives up, after 30 s. Further requests wait for a thread, each within its limit.
        """
        signed = self._threads.submit(work)
        try:
            return signed.result(max(limit_s, 0.0))
        except TimeoutError as err:
            signed.cancel()  # if no thread has taken it
            raise SigningError(
                f"the image cannot be signed: no time stamp came within {max(limit_s, 0.0):.1f} s"
            ) from err

    def _sign(
        self,
        data: bytes,
        media: str,
        source_type: str,
        photo: bytes | None,
        timestamp_url: str | None,
    ) -> bytes:
        out = io.BytesIO()
        self._sign_stream(io.BytesIO(data), media, source_type, photo, timestamp_url, out)
        return out.getvalue()

    def _sign_stream(
        self,
        data: IO[bytes],
        media: str,
        source_type: str,
        photo: bytes | None,
        timestamp_url: str | None,
        out: IO[bytes],
    ) -> None:
        c2pa = self._c2pa
        info = c2pa.C2paSignerInfo(self._algorithm, self._certificate, self._key, timestamp_url)
        try:
            with (
                ExitStack() as stack,
                c2pa.Context.from_dict(SETTINGS) as context,
                c2pa.Signer.from_info(info) as signer,
            ):
                parent = self._parent(context, photo)
                manifest = self._manifest(media, source_type, has_parent=parent is not None)
                builder = stack.enter_context(c2pa.Builder(json.dumps(manifest), context))
                if parent is not None:
                    ingredient = {"title": PARENT, "relationship": "parentOf", "label": PARENT}
                    builder.add_ingredient(ingredient, *parent)
                builder.sign(signer, media, data, out)
        except c2pa.C2paError as err:
            raise SigningError(f"the image cannot be signed: {err}") from err

    def _parent(self, context: Any, photo: bytes | None) -> tuple[str, io.BytesIO] | None:
        """Return the media type and content of a photo that has a manifest; None without one."""
        if photo is None:
            return None
        try:
            media = f"image/{find_format(photo).lower()}"
            reader = self._c2pa.Reader.try_create(media, io.BytesIO(photo), context=context)
        except UnsupportedImageError:
            return None
        except self._c2pa.C2paError as err:
            logger.info("a photo's manifest cannot be read, and is not kept: %s", err)
            return None
        if reader is None:
            return None
        with reader:
            return (media, io.BytesIO(photo)) if reader.is_embedded() else None

    def _manifest(self, media: str, source_type: str, *, has_parent: bool) -> dict[str, Any]:
        kind = {"digitalSourceType": SOURCE_TYPES + source_type}
        actions: list[dict[str, Any]] = [{"action": "c2pa.created", **kind}]
        if has_parent:
            opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT]}}
            actions = [opened, {"action": "c2pa.edited", **kind}]
        return {
            "claim_generator_info": [{"name": SYSTEM, "version": self._version}],
            "format": media,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }

    def _try_out(self, certificate: Path) -> None:
        """Sign a small image, so that a wrong certificate is found at the start.

        Without a time stamp: that its authority does not answer says nothing of the certificate.
        """
        out = io.BytesIO()
        Image.new("RGB", (8, 8)).save(out, "PNG")
        try:
            self._sign(out.getvalue(), "image/png", GENERATED, None, None)
        except SigningError as err:
            raise SigningError(
                f"{certificate} must be a certificate for signing content, with its chain and "
                f"matching its key: {err}"
            ) from err


def load_signer(settings: Settings, service_version: str) -> ContentSigner | None:
    """Make what signs images, if a certificate is configured.

    Raises:
        SigningError: If it cannot sign, or only one of certificate and key is configured.
    """
    certificate, key = settings.c2pa_certificate, settings.c2pa_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SigningError(
            "WPLUS_C2PA_CERTIFICATE and WPLUS_C2PA_KEY must be given together, got one of them"
        )
    return ContentSigner(certificate, key, settings.c2pa_timestamp_url, service_version)
