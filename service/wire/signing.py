"""Signs outgoing images with a C2PA manifest: who made them, by what, and that nothing changed.

The manifest is the last thing added: saving the image again removes it. All functions block.
Source: C2PA specification 2.2; IPTC's digital source types.
"""

import io
import json
from pathlib import Path
from typing import IO

from PIL import Image

from service.errors import SigningError
from service.settings import Settings
from service.wire.provenance import GENERATED, SOURCE_TYPES, SYSTEM

EXTRA = "pip install 'wplus[c2pa]'"
SETTINGS = {"builder": {"thumbnail": {"enabled": False}}}  # it would be as large as the image
ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


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

    def sign(self, data: bytes, media: str, source_type: str) -> bytes:
        """Add a manifest to a file.

        Args:
            data: The whole file.
            media: Its media type.
            source_type: IPTC's digital source type, from `provenance`.

        Raises:
            SigningError: If it cannot be signed, for instance because the time-stamp authority
                does not answer.
        """
        return self._sign(data, media, source_type, self._timestamp_url)

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
        self._sign_stream(data, media, source_type, self._timestamp_url, out)

    def _sign(self, data: bytes, media: str, source_type: str, timestamp_url: str | None) -> bytes:
        out = io.BytesIO()
        self._sign_stream(io.BytesIO(data), media, source_type, timestamp_url, out)
        return out.getvalue()

    def _sign_stream(
        self,
        data: IO[bytes],
        media: str,
        source_type: str,
        timestamp_url: str | None,
        out: IO[bytes],
    ) -> None:
        c2pa = self._c2pa
        manifest = {
            "claim_generator_info": [{"name": SYSTEM, "version": self._version}],
            "format": media,
            "assertions": [
                {
                    "label": "c2pa.actions.v2",
                    "data": {
                        "actions": [
                            {
                                "action": "c2pa.created",
                                "digitalSourceType": SOURCE_TYPES + source_type,
                            }
                        ]
                    },
                }
            ],
        }
        info = c2pa.C2paSignerInfo(self._algorithm, self._certificate, self._key, timestamp_url)
        try:
            with (
                c2pa.Context.from_dict(SETTINGS) as context,
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(json.dumps(manifest), context) as builder,
            ):
                builder.sign(signer, media, data, out)
        except c2pa.C2paError as err:
            raise SigningError(f"the image cannot be signed: {err}") from err

    def _try_out(self, certificate: Path) -> None:
        """Sign a small image, so that a wrong certificate is found at the start.

        Without a time stamp: that its authority does not answer says nothing of the certificate.
        """
        out = io.BytesIO()
        Image.new("RGB", (8, 8)).save(out, "PNG")
        try:
            self._sign(out.getvalue(), "image/png", GENERATED, None)
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
