"""Fetch missing weights, then run the service: `wplus serve`.

`python -m service` never downloads: run that where something else fills the cache, as in the
containers.
"""

import runpy
import sys

from model_core.errors import WplusError
from model_core.weights.packs import pull
from model_core.weights.progress import ConsoleProgress

INTERRUPTED = 130


def fetch() -> None:
    """Fetch what the cache lacks, once the settings are known to be valid.

    Invalid settings and a failed download end the process with a message.
    """
    from service.process import read_settings  # takes most of the time that --help needs

    settings = read_settings()
    try:
        pull(settings.cache, progress=ConsoleProgress())
    except WplusError as err:
        sys.exit(f"wplus: {err}")
    except KeyboardInterrupt:
        print("interrupted; no partial files are left", file=sys.stderr)
        sys.exit(INTERRUPTED)


def main() -> None:
    """Fetch, unless arguments ask for something else (--help), then run the service."""
    if not sys.argv[1:]:
        fetch()
    runpy.run_module("service", run_name="__main__")


if __name__ == "__main__":
    main()
