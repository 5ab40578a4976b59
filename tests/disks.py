"""Disks that are full, without filling one: a small file system in a namespace of its own."""

import functools
import shlex
import subprocess
import sys
import tempfile

import pytest


@functools.cache
def can_mount():
    """Whether this user may mount a file system in a namespace of its own."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _run(["true"], folder, 1, capture_output=True).returncode == 0
        except FileNotFoundError:
            return False


def on_small_disk(command, folder, megabytes, **options):
    """Run a command that finds a disk of so many megabytes at a folder, with what is in that.

    What the folder holds is linked into the disk; nothing that the command writes stays.
    """
    if not can_mount():
        pytest.skip("file systems cannot be mounted here")
    return _run(command, folder, megabytes, **options)


def _run(command, folder, megabytes, **options):
    with tempfile.TemporaryDirectory() as held:
        here, there = shlex.quote(str(folder)), shlex.quote(held)
        steps = (
            f"mount --bind {here} {there}",
            f"mount -t tmpfs -o size={megabytes}m none {here}",
            f"for each in {there}/*; do [ ! -e $each ] || ln -s $each {here}; done",
            f"exec {shlex.join(map(str, command))}",
        )
        namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        return subprocess.run([*namespace, " && ".join(steps)], text=True, **options)
