"""How the process gets memory from the system.

glibc maps every block of 32 MiB or more afresh and gives it back when it is freed, so each use of
one costs the kernel a zeroed page for every 4 KiB: for one 1024 px synthesis 28,000 page faults, a
quarter of its processor time. The features of a large image are such blocks. Threads but the first
have arenas of their own, which cannot hold a block of 64 MiB: that is mapped afresh in any case.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let large blocks be reused rather than returned to the system; for the whole process.

    The process then stays as large as it once had to be. Call it before anything large is
    allocated, and before torch is imported where other threads than the first will compute: an
    arena that a thread has is not taken from it. Returns whether the C library took it: one other
    than glibc does not.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST_INT, M_ARENA_MAX: 1}
    return all(mallopt(name, value) for name, value in wanted.items())
