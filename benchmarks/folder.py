"""Compare `wplus embed` with a loop of HTTP calls: python benchmarks/folder.py [--photos DIR].

Both embed the same photos on the same networks, interleaved: the folder with its figures against
/embed as JSON, and without them against /embed with quality=false. Loading and compiling are not
counted, nor is the start of the processes that read photos, which the command starts before it
loads the networks. Processor time, which neighbours on the
machine disturb less than seconds, is that of all processes on both sides.

Worker processes import this file, as they import the file of any command; like the real command, it
imports nothing heavy until it runs.
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

Backend = Literal["auto", "openvino"]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="default: scikit-image's astronaut, 1024 px")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument(
        "--backend",
        choices=("auto", "openvino"),
        default="auto",
        help="openvino: both sides without compiling, which takes minutes",
    )
    options = parser.parse_args()
    compare(options.photos, options.count, options.rounds, options.workers, options.backend)


def compare(source: Path | None, count: int, rounds: int, workers: int, backend: Backend) -> None:
    """Time both ways and show the table."""
    import httpx2 as httpx
    from interleave import interleave
    from running import Service, processor_s
    from tables import show

    from model_core.batch.embedding import Wanted, embed_photos
    from model_core.batch.workers import Models, PhotoWorkers
    from model_core.predictor import Predictor
    from model_core.weights.cache import LANDMARKS, cache_folder, verified_path
    from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK

    cache = cache_folder(os.environ.get("WPLUS_CACHE"))
    landmarks = verified_path(cache, LANDMARKS)
    predictor = Predictor.load(cache, EMBEDDING_NETWORK, backend=backend, detail=DETAIL_ENCODER)
    with (
        tempfile.TemporaryDirectory(prefix="wplus-bench-") as scratch,
        Service(compile_s=None if backend == "auto" else 0, backend=backend) as service,
        PhotoWorkers(workers, Models(landmarks)) as readers,
    ):
        readers.start()
        folder = collect(source, Path(scratch) / "photos", count)

        def by_folder(figures: bool) -> None:
            out = Path(scratch) / "out"
            shutil.rmtree(out, ignore_errors=True)
            wanted = Wanted("largest", figures=figures)
            embed_photos(folder, out, predictor, readers, wanted, lambda *_: None)

        def by_http(figures: bool) -> None:
            with httpx.Client(base_url=service.url, timeout=600) as http:
                for photo in sorted(folder.iterdir()):
                    form = {"image": photo.read_bytes()}
                    asked = {"quality": str(figures).lower()}
                    http.post("/embed", files=form, data=asked).raise_for_status()

        spent_s: dict[str, list[float]] = {}

        def used_s() -> float:
            children = [process.pid for process in multiprocessing.active_children()]
            own = [processor_s(pid) for pid in (os.getpid(), *children) if pid is not None]
            return sum(own) + service.cpu_s()

        def timed(name: str, run: Callable[[bool], None], figures: bool) -> Callable[[], None]:
            def timed_run() -> None:
                before_s = used_s()
                run(figures)
                spent_s.setdefault(name, []).append(used_s() - before_s)

            return timed_run

        variants = {
            name: timed(name, run, figures)
            for name, run, figures in (
                ("HTTP loop, figures", by_http, True),
                ("folder, figures", by_folder, True),
                ("HTTP loop, no figures", by_http, False),
                ("folder, no figures", by_folder, False),
            )
        }
        seconds = interleave(variants, rounds)
    rows: list[dict[str, object]] = []
    for name, runs in seconds.items():
        loop = seconds[name.replace("folder", "HTTP loop")]
        ratios = [a / b for a, b in zip(loop, runs, strict=True)]
        rows.append(
            {
                "variant": name,
                "photos a second": count / statistics.median(runs),
                "relative to the loop": statistics.median(ratios),
                # The first round warms up.
                "processor s a photo": statistics.median(spent_s[name][1:]) / count,
            }
        )
    show("folder", rows)


def collect(source: Path | None, folder: Path, count: int) -> Path:
    """Copy photos into a folder; without a source, the same one under many names."""
    from photos import astronaut

    from model_core.alignment.folder import find_photos

    folder.mkdir()
    if source is None:
        for index in range(count):
            (folder / f"{index:04d}.jpg").write_bytes(astronaut())
        return folder
    for photo in find_photos(source, folder)[:count]:
        shutil.copy(photo, folder)
    return folder


if __name__ == "__main__":
    main()
