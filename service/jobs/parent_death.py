"""Run a command that dies with its parent.

    python parent_death.py PARENT_PID NAME=VALUE... -- COMMAND

Linux sends the signal when the thread that started this process ends, so that must be the
parent's main thread. On other systems the command outlives a parent that is killed.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, *words: str) -> None:
    """Tie this process to its parent, then become the command."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != int(parent):  # it died before the signal was set
            sys.exit(1)
    end = words.index("--")
    for word in words[:end]:
        name, _, value = word.partition("=")
        os.environ[name] = value
    command = words[end + 1 :]
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(*sys.argv[1:])
