"""Fetch the weights that are missing, then run the service: `wplus serve`.

`python -m service` never downloads: where the cache is filled by something else, as in the
containers, run that.
"""

import runpy
import sys

from model_core.errors import WplusError
from model_core.weights.packs import pull
from model_core.weights.progress import ConsoleProgress

INTERRUPTED = 130


def fetch() -> None:
    """Fetch what the cache lacks, once the settings are known to be right.

    Wrong settings and a failed download end the process with a message.
    """
    from service.process import read_settings  # takes most of the time that --help needs

    settings = read_settings()
    try:
        pull(settings.cache, progress=ConsoleProgress())
    except WplusError as err:
        sys.exit(f"wplus: {err}")
    except KeyboardInterrupt:
        print("interrupted; nothing half-made was left behind", file=sys.stderr)
        sys.exit(INTERRUPTED)


def main() -> None:
    """Fetch, unless arguments ask for something else (--help), then run the service."""
    if not sys.argv[1:]:
        fetch()
    runpy.run_module("service", run_name="__main__")


if __name__ == "__main__":
    main()
