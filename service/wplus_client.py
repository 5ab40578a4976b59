"""A client of the service for scripts and notebooks; it needs neither torch nor the rest of wplus.

    client = Client("http://127.0.0.1:8000", key=None)
    ann, bob = client.embed("ann.jpg"), client.embed("bob.jpg")
    Path("both.jpg").write_bytes(client.morph(ann, bob, lam=0.3).image)
    better = client.refine("ann.jpg", steps=300, start=ann).wait(progress=True)

It needs httpx2, numpy and tqdm: `pip install 'wplus[client]'`.
"""

import base64
import io
import math
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import httpx2 as httpx
import numpy as np
from tqdm import tqdm

TERMINAL = ("succeeded", "failed", "cancelled")
BUSY = (429, 503)
Source = Union[str, Path, bytes, np.ndarray, "Face"]


class ServiceError(Exception):
    """The service refused a call, or a job failed.

    Attributes:
        code: The service's stable name for the error.
        status: HTTP status; 200 where the call went well and the job did not.
    """

    def __init__(self, code: str, detail: str, status: int) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.status = code, status


@dataclass(frozen=True)
class Face:
    """What the service made of a face.

    Attributes:
        code: W+ code, float32, (18, 512).
        image: Its image, as a file.
        latent_id: The service's name for the code, for a while; None by `no_store`.
        details: All that the service answered: face, quality, timings, curve.
    """

    code: np.ndarray
    image: bytes
    latent_id: str | None
    details: dict[str, Any] = field(repr=False)


class Client:
    """Calls the service; a source is a photo (path or bytes), a code, or a `Face`.

    Further options are those of the HTTP interface, as `format="png"` or `no_store=True`.

    Args:
        url: Where the service is.
        key: The API key, if it asks for one.
        timeout_s: Longest wait for one answer.
        tries: Attempts where the service is busy or cannot be reached.
        http: More for httpx2.Client, as `verify` or `proxy`.
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
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, **http)
        self._tries = tries

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.close()

    def embed(self, photo: Source, **options: Any) -> Face:
        """Find the code of the face in a photo."""
        return self._face("/embed", [("image", photo)], options)

    def morph(self, first: Source, second: Source, lam: float = 0.5, **options: Any) -> Face:
        """Blend two faces; `lam` is the share of the first."""
        return self._face("/morph", [("image", first), ("image", second)], options | {"lam": lam})

    def colorize(self, gray: Source, color: Source, **options: Any) -> Face:
        """Give the grey face the colours of the other."""
        return self._face("/colorize", [("gray", gray), ("color", color)], options)

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
        headers = {
            "Idempotency-Key": uuid.uuid4().hex
        }  # a second attempt finds the first one's job
        form = _form(sources, options | {"steps": steps})
        return Job(self, self.send("POST", "/refine", headers=headers, **form).json()["id"])

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request; wait and try again where the service is busy or away.

        Raises:
            ServiceError: If it refuses.
            httpx2.TransportError: If it cannot be reached.
        """
        for attempt in range(1, self._tries + 1):
            wait_s = float(attempt)
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError:
                if attempt == self._tries:
                    raise
            else:
                if answer.status_code not in BUSY or attempt == self._tries:
                    break
                wait_s = float(answer.headers.get("retry-after", wait_s))
            time.sleep(wait_s)
        if answer.is_success:
            return answer
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        problem = answer.json() if is_problem else {}
        detail = problem.get("detail", answer.reason_phrase)
        raise ServiceError(problem.get("code", "http-error"), detail, answer.status_code)

    def _face(self, path: str, sources: list[tuple[str, Source]], options: dict[str, Any]) -> Face:
        form = _form(sources, options | {"return": "both"})
        return read_face(self.send("POST", path, **form).json())


@dataclass(frozen=True)
class Job:
    """A refine job.

    Attributes:
        client: Who began it.
        id: Its name.
    """

    client: Client
    id: str

    def status(self) -> dict[str, Any]:
        """Ask how it is going: `state`, and `progress` with step, loss, psnr, lpips, eta_s."""
        answer: dict[str, Any] = self.client.send("GET", f"/jobs/{self.id}").json()
        return answer

    def cancel(self) -> None:
        """Stop it after its present step; what it has reached remains."""
        self.client.send("DELETE", f"/jobs/{self.id}")

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
        return read_face(self.client.send("GET", f"/jobs/{self.id}/result").json())

    def _show(self, bar: "tqdm[Any]") -> dict[str, Any]:
        """Ask how it is going, and draw that."""
        status = self.status()
        step = status["progress"]
        bar.total, bar.n = step["steps"], step["step"]
        figures = {name: step[name] for name in ("lpips", "psnr") if step.get(name) is not None}
        bar.set_postfix(state=status["state"], **figures)
        return status


def read_face(answer: dict[str, Any]) -> Face:
    """Read an answer that holds a code and its image."""
    code = answer["code"]
    ws = np.frombuffer(base64.b64decode(code["data"]), "<f4").reshape(code["shape"])
    return Face(ws, base64.b64decode(answer["image"]["data"]), answer.get("latent_id"), answer)


def _form(sources: list[tuple[str, Source]], options: dict[str, Any]) -> dict[str, Any]:
    fields = {name: str(value) for name, value in options.items()}
    return {"files": [(name, _part(source)) for name, source in sources], "data": fields}


def _part(source: Source) -> tuple[str | None, str | bytes]:
    """Write a source as a part of a form: a file, or a latent id as text."""
    if isinstance(source, Face):
        if source.latent_id is not None:
            return None, source.latent_id
        source = source.code
    if isinstance(source, np.ndarray):
        out = io.BytesIO()
        np.save(out, source, allow_pickle=False)
        return "code.npy", out.getvalue()
    return "photo", source if isinstance(source, bytes) else Path(source).read_bytes()
