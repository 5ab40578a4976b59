"""One pass against the iterator: python benchmarks/one_pass.py [--steps N] [--faces N].

How many steps of the iterator from the mean code come as far as one pass of the embedding network,
by ST-LPIPS (VGG, which the iterator does not minimise) and two other measures, and how much longer
they take. `python -m model_core.evaluation` finds it, face by face in one process, on faces that
anyone can make again; it defines the measures too.
"""

import argparse
import io
import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from tables import show

from model_core.checkpoints.layout import cache_folder
from model_core.evaluation.__main__ import main as evaluate
from model_core.heap import keep_freed_memory

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--faces", type=int, default=4)
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="wplus-bench-") as folder:
        arguments = ["--network", ROOT / "weights" / "embedding.safetensors", "--out", folder]
        arguments += ["--methods", "mean", "network", "iterator", "--steps", options.steps]
        arguments += ["--count", options.faces, "--iterator-count", options.faces]
        with redirect_stdout(io.StringIO()):
            failed = evaluate([str(argument) for argument in arguments], cache_folder(None))
        if failed:
            sys.exit(failed)
        found = json.loads((Path(folder) / "results.json").read_text())["one_pass_is_worth"]
    show("one pass", [_row(worth) for worth in found])


def _row(worth: dict[str, object]) -> dict[str, object]:
    more = f"more than {worth['measured']}"
    return {
        "measure": worth["measure"],
        "one pass": worth["one_pass"],
        "steps that come as far": worth["steps"] or more,
        "times as long": worth["ratio"],
    }


if __name__ == "__main__":
    main()
