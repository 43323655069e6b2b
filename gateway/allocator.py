"""Memory that long requests took goes back to the system when they are done.

glibc maps a large block by itself and unmaps it when it is freed, but raises the
size from which it does so, up to 32 MB, whenever that happens; and it gives each
thread a heap of its own. After some bodies of 10 MB in three threads, 1 GB
stayed resident for good (measured). So both are fixed.
"""

from __future__ import annotations

import ctypes

# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

BLOCK_BYTES = 256 * 1024
ARENAS = 2


def return_large_blocks() -> None:
    """Call once, before threads are started. Does nothing where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_MMAP_THRESHOLD, BLOCK_BYTES)
    mallopt(_M_TRIM_THRESHOLD, 4 * BLOCK_BYTES)
    mallopt(_M_ARENA_MAX, ARENAS)


def return_free_memory() -> None:
    """What starting has needed and freed, some 20 MB, lies between what is kept: give it back."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return
