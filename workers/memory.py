"""Memory of a worker: when Python looks for garbage, what the C library keeps, what is resident."""

import contextlib
import ctypes
import functools
import gc
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Within it, Python does not look for cycles of garbage.

    Tracing makes a million objects that live on, and looking through them again and again takes two
    fifths of its time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def give_back() -> None:
    """Gives back what is free, where the C library can: glibc keeps what compiling took."""
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], int]:
    return getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)


def resident_bytes() -> int:
    """What this process holds in memory; where the system does not say, the most it held so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")
