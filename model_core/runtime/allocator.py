"""How the process gets memory from the operating system.

glibc maps every block of 32 MiB or more anew and returns it when it is freed, so each use of
one makes the kernel zero a page for every 4 KiB: for one 1024 px synthesis 28,000 page faults, a
quarter of its CPU time. The features of a large image are such blocks. Threads other than the first
have their own arenas, which cannot hold a block of 64 MiB: that is mapped anew in any case.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have large blocks reused rather than returned to the system, for the whole process.

    The process then stays as large as it ever had to be. Call this before anything large is
    allocated, and before torch is imported if threads other than the first will compute: a thread
    keeps an arena that it already has. Returns whether the C library accepted the setting; only
    glibc does.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: LARGEST_INT, M_ARENA_MAX: 1}
    return all(mallopt(name, value) for name, value in wanted.items())
