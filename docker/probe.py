"""Tells by its exit status whether a container is well: it has no curl.

    python docker/probe.py http://127.0.0.1:8000/readyz
    python docker/probe.py http://127.0.0.1:9090/metrics METRIC SECONDS

The second form asks that a metric, a time stamp, is no older than so many seconds.
"""

import re
import sys
import time
import urllib.request
from collections.abc import Sequence

TIMEOUT_S = 4.0


def check(url: str, metric: str | None = None, max_age_s: float = 0.0) -> None:
    """Ask a URL, and optionally how old the time stamp is that it exposes.

    Raises:
        OSError: If it does not answer with a status of 200.
        ValueError: If the time stamp is missing or too old.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - ours, from argv
        text = answer.read().decode()
    if metric is None:
        return
    found = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{metric} must be exposed, got none")
    age_s = time.time() - float(found[1])
    if age_s > max_age_s:
        raise ValueError(f"{metric} must be at most {max_age_s} s old, got {age_s:.0f}")


def main(arguments: Sequence[str]) -> int:
    """Check what the command line names; answer the exit status."""
    url, *rest = arguments
    try:
        check(url, *rest[:1], *map(float, rest[1:]))
    except (OSError, ValueError) as err:
        print(err, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
