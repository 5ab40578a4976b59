"""A client of the service for scripts and notebooks; it needs neither torch nor the rest of wplus.

    client = Client("http://127.0.0.1:8000", key=None)
    ann, bob = client.embed("ann.jpg"), client.embed("bob.jpg")
    client.morph(ann, bob, lam=0.3).save("both.jpg")
    better = client.refine("ann.jpg", steps=300, start=ann).wait(progress=True)

It needs httpx2, numpy and tqdm: `pip install 'wplus[client]'`; Pillow where images are given or
asked for as such.
"""

import base64
import binascii
import email.utils
import io
import math
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Union, cast, overload

import httpx2 as httpx
import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from PIL.Image import Image

TERMINAL = ("succeeded", "failed", "cancelled")
BUSY = (429, 503)
MAX_WAIT_S = 60.0  # between two attempts, whatever is asked for
MAX_PNG_BYTES = 15_000_000  # a larger one is sent as JPEG
FLOATS = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}
FORMATS = {
    b"\xff\xd8": ("image/jpeg", (".jpg", ".jpeg")),
    b"\x89P": ("image/png", (".png",)),
    b"RI": ("image/webp", (".webp",)),
}
Source = Union[str, Path, bytes, BinaryIO, np.ndarray, "Image", "Face"]


class ServiceError(Exception):
    """The service refused a call, or a job failed.

    Attributes:
        code: The service's stable name for the error; `http-error` where something else answered.
        status: HTTP status; 200 where the call went well and the job did not.
    """

    def __init__(self, code: str, detail: str, status: int) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.status = code, status


class UnreachableError(httpx.TransportError):
    """Nothing answers at the service's address."""


@dataclass(frozen=True, repr=False)
class Face:
    """What the service made of a face; a notebook shows its image.

    Attributes:
        code: W+ code, float32, (18, 512).
        image: Its image, as a file.
        latent_id: The service's name for the code, for a while; None by `no_store`.
        details: All that the service answered: face, quality, timings, curve.
    """

    code: np.ndarray
    image: bytes
    latent_id: str | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """Format of the image, as image/jpeg."""
        return FORMATS.get(self.image[:2], ("application/octet-stream", ()))[0]

    @property
    def identity_similarity(self) -> float | None:
        """How alike photo and image are as persons, at most 1; None where the service did not say.

        It says so in answers to `embed`, if it has a recogniser.
        """
        found: float | None = self.details.get("quality", {}).get("identity_similarity")
        return found

    @property
    def same_person(self) -> bool | None:
        """Whether photo and image are taken for one person; None where the service did not say."""
        found: bool | None = self.details.get("quality", {}).get("same_person")
        return found

    def __repr__(self) -> str:
        return (
            f"Face(code={self.code.shape}, image={len(self.image)} bytes of {self.media_type}, "
            f"latent_id={self.latent_id!r})"
        )

    def save(self, path: str | Path) -> Path:
        """Write the image, or the code where the path ends in .npy; answer the path.

        Raises:
            ValueError: If the path ends as that of another format, to which nothing is converted,
                as the image would lose the mark that says how it was made.
        """
        path = Path(path)
        if path.suffix == ".npy":
            np.save(path, self.code, allow_pickle=False)
            return path
        media, suffixes = FORMATS.get(self.image[:2], ("application/octet-stream", ()))
        if suffixes and path.suffix.lower() not in suffixes:
            raise ValueError(
                f"path must end in {' or '.join(suffixes)} or .npy for {media}, got {path.name}: "
                'the call\'s option format="png" or "webp" asks for another'
            )
        path.write_bytes(self.image)
        return path

    def pil(self) -> "Image":
        """Decode the image with Pillow."""
        from PIL import Image

        return Image.open(io.BytesIO(self.image))

    def _repr_jpeg_(self) -> bytes | None:
        return self.image if self.media_type == "image/jpeg" else None

    def _repr_png_(self) -> bytes | None:
        if self.media_type != "image/webp":
            return self.image if self.media_type == "image/png" else None
        out = io.BytesIO()  # notebooks have no hook for WebP
        self.pil().save(out, "PNG")
        return out.getvalue()


class Client:
    """Calls the service.

    A source is a photo (path, bytes, open file, Pillow image, array of uint8), a code (array of
    floats) or a `Face`. Further options are those of the HTTP interface, as `format="png"` or
    `no_store=True`.

    Args:
        url: Where the service is.
        key: The API key, if it asks for one.
        timeout_s: Longest wait for one answer.
        tries: Attempts where the service is busy or cannot be reached.
        http: More for httpx2.Client, as `verify` or `proxy`.

    Raises:
        ValueError: If the URL is none of http or https.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        tries: int = 4,
        **http: Any,
    ) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, got {url}")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, **http)
        self._tries = tries

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def embed(self, photo: Source, **options: Any) -> Face:
        """Find the code of the face in a photo."""
        return self._face("/embed", [("image", photo)], options)

    @overload
    def morph(
        self, first: Source, second: Source, lam: float | None = None, **options: Any
    ) -> Face: ...

    @overload
    def morph(self, first: Source, second: Source, *, steps: int, **options: Any) -> list[Face]: ...

    def morph(
        self, first: Source, second: Source, lam: float | None = None, **options: Any
    ) -> Face | list[Face]:
        """Blend two faces: `lam` is the share of the first, 0.5 if unset.

        With `steps` it answers as many frames instead, from the first face to the second.
        """
        sources = [("image", first), ("image", second)]
        if options.get("steps") is None:
            return self._face("/morph", sources, options | {"lam": lam})
        frames = self._json("/morph", sources, options | {"lam": lam}).get("frames", [])
        return [read_face(frame) for frame in frames]

    def colorize(self, gray: Source, color: Source, **options: Any) -> Face:
        """Give the grey face the colours of the other."""
        return self._face("/colorize", [("gray", gray), ("color", color)], options)

    def merge(self, identity: Source, attribute: Source, **options: Any) -> Face:
        """Give the identity of one photo to the pose, hair and light of another."""
        return self._face("/merge", [("identity", identity), ("attribute", attribute)], options)

    def edit(self, face: Source, direction: str, strength: float = 2.0, **options: Any) -> Face:
        """Move a face along a direction, as `smile`; `version()` lists them."""
        asked = options | {"direction": direction, "strength": strength}
        return self._face("/edit", [("image", face)], asked)

    def generate(
        self, code: Source | None = None, *, seed: int | None = None, **options: Any
    ) -> Face:
        """Render a code or a face of before, or draw a face by a seed."""
        sources = [] if code is None else [("code", code)]
        return self._face("/generate", sources, options | {"seed": seed})

    def refine(
        self, photo: Source, steps: int = 100, start: Source | None = None, **options: Any
    ) -> "Job":
        """Begin to bring a code nearer to a photo.

        Args:
            photo: What is to be matched.
            steps: Steps of the optimisation.
            start: A code or face to start from; the photo's embedding if there is none.
            options: `time_budget_s`, `target_lpips`, or others of POST /refine.
        """
        sources = [("image", photo)] + ([] if start is None else [("code", start)])
        # A second attempt finds the first one's job.
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        answer = self.send(
            "POST", "/refine", headers=headers, **_form(sources, options | {"steps": steps})
        )
        return Job(self, _members(answer)["id"])

    def jobs(self, limit: int = 20) -> list["Job"]:
        """List your refine jobs, the newest first."""
        rows = _members(self.send("GET", "/jobs", params={"limit": limit}))["jobs"]
        return [Job(self, row["id"]) for row in rows]

    def version(self) -> dict[str, Any]:
        """Ask what is running: versions, generator, directions, digests of the weights."""
        return _members(self.send("GET", "/version"))

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request; wait and try again where the service is busy or away.

        Raises:
            ServiceError: If it refuses.
            UnreachableError: If nothing answers at its address.
            httpx2.TransportError: If the connection fails otherwise.
        """
        for attempt in range(1, self._tries + 1):
            wait_s = float(attempt)
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as err:
                if attempt < self._tries:
                    time.sleep(wait_s)
                    continue
                if isinstance(err, httpx.ConnectError | httpx.ConnectTimeout):
                    raise UnreachableError(
                        f"nothing answers at {self.url}: is `make serve` running? ({err})"
                    ) from err
                raise
            if answer.status_code not in BUSY or attempt == self._tries:
                break
            time.sleep(_wait_s(answer.headers.get("retry-after", ""), wait_s))
        if answer.is_success:
            return answer
        raise _refusal(answer)

    def _face(self, path: str, sources: list[tuple[str, Source]], options: dict[str, Any]) -> Face:
        return read_face(self._json(path, sources, options))

    def _json(
        self, path: str, sources: list[tuple[str, Source]], options: dict[str, Any]
    ) -> dict[str, Any]:
        form = _form(sources, options | {"return": "both"})
        return _members(self.send("POST", path, **form))


@dataclass(frozen=True)
class Job:
    """A refine job.

    Attributes:
        client: Who began it.
        id: Its name.
    """

    client: Client = field(repr=False)
    id: str

    def status(self) -> dict[str, Any]:
        """Ask how it is going: `state`, and `progress` with step, lpips, same_person and more."""
        return _members(self.client.send("GET", f"/jobs/{self.id}"))

    def cancel(self) -> None:
        """Stop it after its present step; what it has reached remains."""
        self.client.send("DELETE", f"/jobs/{self.id}")

    def result(self) -> Face:
        """Take its result: the best code once it has ended."""
        return read_face(_members(self.client.send("GET", f"/jobs/{self.id}/result")))

    def wait(
        self, progress: bool = False, timeout_s: float = math.inf, poll_s: float = 1.0
    ) -> Face:
        """Wait for its end, and take its result.

        Args:
            progress: Draw a bar.
            timeout_s: Longest wait.
            poll_s: Time between two questions.

        Raises:
            ServiceError: If it failed, or was cancelled before its first step.
            TimeoutError: If it has not ended in time; it goes on.
        """
        end_s = time.monotonic() + timeout_s
        with tqdm(disable=not progress, unit="step", desc="refine") as bar:
            while (status := self._show(bar))["state"] not in TERMINAL:
                if time.monotonic() > end_s:
                    raise TimeoutError(
                        f"job must end within {timeout_s:g} s, got {status['state']}"
                    )
                time.sleep(poll_s)
        if status["state"] == "failed":
            raise ServiceError(status["error"]["type"], status["error"]["detail"], 200)
        return self.result()

    def _show(self, bar: "tqdm[Any]") -> dict[str, Any]:
        """Ask how it is going, and draw that."""
        status = self.status()
        step = status["progress"]
        bar.total, bar.n = step["steps"], step["step"]
        figures = {name: step[name] for name in ("lpips", "psnr") if step.get(name) is not None}
        bar.set_postfix(state=status["state"], **figures)
        return status


def read_face(answer: dict[str, Any]) -> Face:
    """Read an answer that holds a code and its image.

    Raises:
        ServiceError: If it holds none.
    """
    try:
        code, image = answer["code"], base64.b64decode(answer["image"]["data"])
        data = code["data"]
        if isinstance(data, str):
            values = np.frombuffer(base64.b64decode(data), FLOATS[code.get("dtype", "float32")])
        else:
            values = np.asarray(data, np.float32)
        ws = values.astype(np.float32).reshape(code["shape"])
    except (KeyError, TypeError, ValueError, binascii.Error) as err:
        detail = f"the answer must hold a code and an image, got one without ({err!r})"
        raise ServiceError("http-error", detail, 200) from err
    return Face(ws, image, answer.get("latent_id"), answer)


def _members(answer: httpx.Response) -> dict[str, Any]:
    """Read a JSON answer; what is none comes from something that is not wplus."""
    try:
        members = answer.json()
    except ValueError:
        members = None
    if not isinstance(members, dict):
        media = answer.headers.get("content-type", "no type")
        detail = f"the answer must be JSON, got {media}: is {answer.url} wplus?"
        raise ServiceError("http-error", detail, answer.status_code)
    return members


def _refusal(answer: httpx.Response) -> ServiceError:
    """Read a refusal, which may be a gateway's: then it has a status and little else."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    code, detail = problem.get("code"), problem.get("detail") or problem.get("title")
    if answer.is_redirect:
        detail = f"the address has moved to {answer.headers.get('location')}"
    if not isinstance(detail, str):
        detail = answer.reason_phrase or f"status {answer.status_code}"
    return ServiceError(code if isinstance(code, str) else "http-error", detail, answer.status_code)


def _wait_s(retry_after: str, default_s: float) -> float:
    """Read Retry-After: seconds or a date (RFC 9110, section 10.2.3)."""
    try:
        wait_s = float(retry_after)
    except ValueError:
        try:
            wait_s = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return default_s
    return min(max(wait_s, 0.0), MAX_WAIT_S) if math.isfinite(wait_s) else default_s


def _form(sources: list[tuple[str, Source]], options: dict[str, Any]) -> dict[str, Any]:
    fields = {name: _text(value) for name, value in options.items() if value is not None}
    return {"files": [(name, _part(source)) for name, source in sources], "data": fields}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _part(source: Source) -> tuple[str | None, str | bytes]:
    """Write a source as a part of a form: a file, or a latent id as text."""
    if isinstance(source, Face):
        if source.latent_id is not None:
            return None, source.latent_id
        source = source.code
    if _is_pillow(source):
        return "photo", _encode(cast("Image", source))
    if isinstance(source, str) and source.lower().startswith(("http://", "https://", "data:")):
        raise ValueError(f"source must be a path, got a URL: download {source[:60]} first")
    if isinstance(source, str | Path):
        return "photo", Path(source).read_bytes()
    if isinstance(source, bytes | bytearray | memoryview):
        return "photo", bytes(source)
    if hasattr(source, "read"):
        return "photo", cast(BinaryIO, source).read()
    return _array_part(np.asarray(source))


def _array_part(array: np.ndarray) -> tuple[str, bytes]:
    """Tell a picture from a code: the one is of bytes, the other of floats."""
    out = io.BytesIO()
    if array.dtype.kind == "f" and array.ndim <= 3 and array.shape[-1:] not in ((3,), (4,)):
        np.save(out, array, allow_pickle=False)
        return "code.npy", out.getvalue()
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2:] in ((3,), (4,))):
        from PIL import Image

        return "photo", _encode(Image.fromarray(array))
    raise ValueError(
        "array must be a picture of uint8, (height, width, 3), or a code of floats, (18, 512), "
        f"got {array.dtype} of {array.shape}"
    )


def _is_pillow(source: object) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(source, pillow.Image)


def _encode(image: "Image") -> bytes:
    """Write a picture as PNG, or as JPEG where that would be too large to send."""
    about = {"exif": image.getexif(), "icc_profile": image.info.get("icc_profile")}
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
        about["icc_profile"] = None  # it was of the other mode
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1, **about)
    if out.tell() > MAX_PNG_BYTES:
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=95, **about)
    return out.getvalue()
