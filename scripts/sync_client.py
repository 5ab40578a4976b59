"""Write wplus_client/client.py from async_client.py, by leaving out `async` and `await`.

Operations are written once, for asyncio, and `make client` derives the client that blocks. A test
compares the two files.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "wplus_client"
HEADER = "# Made from async_client.py by scripts/sync_client.py: edit that, then `make client`.\n"
REPLACEMENTS = (
    ("client for asyncio", "client for scripts and notebooks"),
    (r"import asyncio\n", ""),
    (r"asyncio\.sleep", "time.sleep"),
    (r"\(await ([^\n]*)\)\.", r"\1."),
    (r"\b(async|await) ", ""),
    (r"\bAsync(Client|Connection|FilmJob|Job)\b", r"\1"),
)


def sync_source(source: str) -> str:
    """Turn the source of the asyncio client into that of the one that blocks."""
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--config",
        str(ROOT / "pyproject.toml"),
        "-",
    ]
    return subprocess.run(  # noqa: S603 - the command is constant
        command, input=HEADER + source, capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    source = (CLIENT / "async_client.py").read_text()
    (CLIENT / "client.py").write_text(sync_source(source))
