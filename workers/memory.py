"""Memory that the C library keeps for itself, given back to the system."""

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Gives back what is free, where the C library can: glibc keeps what compiling took."""
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], int]:
    return getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)
