# Made from async_client.py by scripts/sync_client.py: edit that, then `make client`.
"""The client for scripts and notebooks.

with Client("http://127.0.0.1:8000", key=None) as client:
    ann, bob = client.embed("ann.jpg"), client.embed("bob.jpg")
    client.morph(ann, bob, lam=0.3).save("both.jpg")
    job = client.refine("ann.jpg", steps=300, start=ann)
    better = job.wait(progress=True)
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from wplus_client import calls
from wplus_client.connections import Connection
from wplus_client.face import Face
from wplus_client.progress import Status, progress_bar, timed_out
from wplus_client.sources import Source


class Client(Connection):
    """Calls the service.

    A source is a photo (path, bytes, open file, Pillow image, array of uint8), a code (array of
    floats) or a `Face`. Further options are those of the HTTP interface, such as `format="png"` or
    `no_store=True`.

    Args:
        url: Where the service is.
        key: The API key, if the service requires one.
        timeout_s: Longest wait for one answer.
        tries: Attempts while the service is busy or cannot be reached.
        http: Further arguments for httpx2.Client, such as `verify` or `proxy`.

    Raises:
        ValueError: If the URL is not http or https, or tries is less than 1.
    """

    def embed(self, photo: Source, **options: Any) -> Face:
        """Find the code of the face in a photo."""
        return self.run(calls.embed, photo, options)

    def quality(self, photo: Source, face: Source, **options: Any) -> dict[str, Any]:
        """Measure how close a face comes to a photo, after `embed(photo, quality=False)`."""
        return self.run(calls.quality, photo, face, options)

    @overload
    def morph(self, first: Source, second: Source, *, steps: int, **options: Any) -> list[Face]: ...

    @overload
    def morph(
        self, first: Source, second: Source, lam: float | None = None, **options: Any
    ) -> Face: ...

    def morph(
        self, first: Source, second: Source, lam: float | None = None, **options: Any
    ) -> Face | list[Face]:
        """Blend two faces: `lam` is the share of the first, 0.5 if unset.

        With `steps` it returns that many frames instead, from the first face to the second.
        """
        if options.get("steps") is None:
            return self.run(calls.morph, first, second, lam, options)
        return self.run(calls.morph_frames, first, second, options | {"lam": lam})

    def colorize(self, gray: Source, color: Source, **options: Any) -> Face:
        """Give the grey face the colours of the other."""
        return self.run(calls.colorize, gray, color, options)

    def merge(self, identity: Source, attribute: Source, **options: Any) -> Face:
        """Combine the identity of one photo with the pose, hair and light of another."""
        return self.run(calls.merge, identity, attribute, options)

    def edit(
        self,
        source: Source,
        /,
        direction: str | None = None,
        strength: float | None = None,
        *,
        directions: Mapping[str, float] | None = None,
        unsafe: bool = False,
        photo: Source | None = None,
        **options: Any,
    ) -> Face:
        """Change attributes of a face; `directions()` lists them.

        Args:
            source: A photo, a code or an earlier face.
            direction: One attribute, such as `smile`.
            strength: How far to move along it, in its unit; its own default if None.
            directions: Several attributes at once, such as `{"smile": 1.5, "age": -10}`.
            unsafe: Whether values outside the safe ranges are allowed.
            photo: The photo that a code or an earlier face goes back into; the image is then the
                whole photo.
            options: Others of POST /edit. For a photo, `output="photo"` answers the whole of it,
                and `face="all"` or `face=[0, 2]` edits several faces in it.
        """
        options |= {"unsafe": unsafe or None}
        return self.run(calls.edit, source, direction, strength, directions, photo, options)

    def generate(
        self, code: Source | None = None, *, seed: int | None = None, **options: Any
    ) -> Face:
        """Render a code or an earlier face, or a random face from a seed."""
        return self.run(calls.generate, code, seed, options)

    def refine(
        self, photo: Source, steps: int = 100, start: Source | None = None, **options: Any
    ) -> "Job":
        """Start a job that optimises a code for a photo.

        Args:
            photo: The photo that the code should match.
            steps: Number of optimisation steps.
            start: A code or face to start from; the photo's embedding if there is none.
            options: `time_budget_s`, `target_lpips`, or others of POST /refine.
        """
        return Job(self, self.run(calls.refine, photo, steps, start, options))

    def edit_film(
        self,
        film: str | Path,
        directions: Mapping[str, float],
        *,
        unsafe: bool = False,
        **options: Any,
    ) -> "FilmJob":
        """Start a job that edits one person's face in a film; `directions()` lists the changes.

        Args:
            film: Path of the film, which is sent from the disk.
            directions: What to change, such as `{"smile": 1.5}`.
            unsafe: Whether values outside the safe ranges are allowed.
            options: `face`, `blend`, or others of POST /films.
        """
        job_id = self.run(calls.edit_film, film, directions, unsafe, options)
        return FilmJob(self, job_id)

    def jobs(self, limit: int = 20) -> list["Job | FilmJob"]:
        """List your jobs, the newest first."""
        rows = self.run(calls.jobs, limit)
        return [
            FilmJob(self, job_id) if kind == "film" else Job(self, job_id) for job_id, kind in rows
        ]

    def directions(self) -> list[dict[str, Any]]:
        """List what `edit` can change: name, title, unit, safe range and more of each."""
        return self.run(calls.directions)

    def version(self) -> dict[str, Any]:
        """Get the versions, the generator, the directions and the digests of the weights."""
        return self.run(calls.version)


@dataclass(frozen=True)
class Job:
    """A refine job.

    Attributes:
        client: The client that started it.
        id: Its id.
    """

    client: Client = field(repr=False)
    id: str

    def status(self) -> Status:
        """Get its status: `state`, and `progress` with step, loss, psnr, lpips, eta_s."""
        return self.client.run(calls.job_status, self.id)

    def cancel(self) -> None:
        """Stop it after the current step; the best code so far remains its result."""
        self.client.run(calls.cancel_job, self.id)

    def result(self, **options: Any) -> Face:
        """Get its result: the best code, once it has ended.

        Args:
            options: Those of GET /jobs/{job_id}/result, such as `output="photo"`.
        """
        return self.client.run(calls.job_result, self.id, options)

    def wait(
        self, progress: bool = False, timeout_s: float = math.inf, poll_s: float = 1.0
    ) -> Face:
        """Wait until it ends, and return its result.

        Args:
            progress: Draw a progress bar.
            timeout_s: Longest wait.
            poll_s: Seconds between checks of its status.

        Raises:
            ServiceError: If it failed, or was cancelled before its first step.
            TimeoutError: If it has not ended in time; the job itself goes on.
        """
        end_s = time.monotonic() + timeout_s
        with progress_bar(progress) as bar:
            while not bar.show(status := self.status()):
                if time.monotonic() > end_s:
                    raise timed_out(timeout_s, status)
                time.sleep(poll_s)
        return self.result()


@dataclass(frozen=True)
class FilmJob:
    """A job that edits a film.

    Attributes:
        client: The client that started it.
        id: Its id.
    """

    client: Client = field(repr=False)
    id: str

    def status(self) -> Status:
        """Get its status: `state`, and `progress` with phase, done, total (frames), eta_s."""
        return self.client.run(calls.job_status, self.id)

    def cancel(self) -> None:
        """Stop it; of one that has ended, delete the film."""
        self.client.run(calls.cancel_job, self.id)

    def wait(
        self, progress: bool = False, timeout_s: float = math.inf, poll_s: float = 1.0
    ) -> "FilmJob":
        """Wait until it ends, and return it.

        Args:
            progress: Draw a progress bar.
            timeout_s: Longest wait.
            poll_s: Seconds between checks of its status.

        Raises:
            ServiceError: If it failed.
            TimeoutError: If it has not ended in time; the job itself goes on.
        """
        end_s = time.monotonic() + timeout_s
        with progress_bar(progress, "film", "frame") as bar:
            while not bar.show(status := self.status()):
                if time.monotonic() > end_s:
                    raise timed_out(timeout_s, status)
                time.sleep(poll_s)
        return self

    def save(self, path: str | Path) -> Path:
        """Download the edited film of a job that has ended, onto the disk as it arrives.

        Raises:
            ServiceError: If there is none.
        """
        target = Path(path)
        self.client.download(f"/jobs/{self.id}/result", target)
        return target
