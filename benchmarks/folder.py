"""Compare `wplus embed` with a loop of HTTP calls: python benchmarks/folder.py [--photos DIR].

Both embed the same photos on the same networks, all compiled, in turn: the folder with its
figures against /embed as JSON, and without them against /embed with quality=false. Loading and
compiling are not counted.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
from interleave import interleave
from photos import astronaut
from running import Service
from tables import show

from model_core.alignment.folder import find_photos
from model_core.batch.embedding import Wanted, embed_folder
from model_core.predictor import Predictor
from model_core.weights.cache import LANDMARKS, cache_folder, verified_path
from model_core.weights.shipped import DETAIL_ENCODER, EMBEDDING_NETWORK


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="default: scikit-image's astronaut, 1024 px")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    options = parser.parse_args()
    cache = cache_folder(os.environ.get("WPLUS_CACHE"))
    landmarks = verified_path(cache, LANDMARKS)
    predictor = Predictor.load(cache, EMBEDDING_NETWORK, detail=DETAIL_ENCODER)
    with tempfile.TemporaryDirectory(prefix="wplus-bench-") as scratch, Service() as service:
        folder = collect(options.photos, Path(scratch) / "photos", options.count)

        def by_folder(figures: bool) -> None:
            out = Path(scratch) / "out"
            shutil.rmtree(out, ignore_errors=True)
            wanted = Wanted("largest", figures=figures)
            embed_folder(
                folder, out, predictor, landmarks, wanted, options.workers, lambda *_: None
            )

        def by_http(figures: bool) -> None:
            with httpx.Client(base_url=service.url, timeout=60) as http:
                for photo in sorted(folder.iterdir()):
                    form = {"image": photo.read_bytes()}
                    asked = {"quality": str(figures).lower()}
                    http.post("/embed", files=form, data=asked).raise_for_status()

        variants: dict[str, Callable[[], None]] = {
            "HTTP loop, figures": lambda: by_http(True),
            "folder, figures": lambda: by_folder(True),
            "HTTP loop, no figures": lambda: by_http(False),
            "folder, no figures": lambda: by_folder(False),
        }
        seconds = interleave(variants, options.rounds)
    rows: list[dict[str, object]] = []
    for name, runs in seconds.items():
        loop = seconds[name.replace("folder", "HTTP loop")]
        ratios = [a / b for a, b in zip(loop, runs, strict=True)]
        rate = options.count / statistics.median(runs)
        ratio = statistics.median(ratios)
        rows.append({"variant": name, "photos a second": rate, "relative to the loop": ratio})
    show("folder", rows)


def collect(source: Path | None, folder: Path, count: int) -> Path:
    """Copy photos into a folder; without a source, the same one under many names."""
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
