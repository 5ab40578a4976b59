"""Crop the faces in a folder as FFHQ does: python -m model_core.alignment DIR OUT."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from model_core.alignment.folder import align_folder
from model_core.errors import WplusError
from model_core.program import program_name
from model_core.skipped import SKIPPED, printable, skipped_lines, summary
from model_core.weights.cache import LANDMARKS, cache_folder, verified_path

INTERRUPTED = 130


def main(arguments: Sequence[str], cache: Path) -> int:
    """Align a folder from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog=program_name("model_core.alignment"), description=__doc__)
    parser.add_argument("source", metavar="DIR", type=Path, help="folder of photos")
    parser.add_argument("target", metavar="OUT", type=Path, help="folder for the crops")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, px")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    reasons: dict[str, str] = {}
    with tqdm(unit="photo") as bar:

        def on_photo(photo: Path, reason: str) -> None:
            bar.update()
            if reason:
                reasons[printable(str(photo.relative_to(options.source)))] = reason

        try:
            model = verified_path(cache, LANDMARKS)
            align_folder(
                options.source, options.target, model, options.size, options.workers, on_photo
            )
        except WplusError as err:
            print(f"error: {err}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped; run the same command again to continue", file=sys.stderr)
            return INTERRUPTED
    options.target.mkdir(parents=True, exist_ok=True)
    (options.target / SKIPPED).write_text(skipped_lines(reasons), "utf-8")
    print(summary(int(bar.n), len(reasons), "aligned"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], cache_folder(os.environ.get("WPLUS_CACHE"))))
