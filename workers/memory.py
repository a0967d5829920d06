"""Memory that compiling takes: when Python looks for garbage, and what the C library keeps."""

import contextlib
import ctypes
import functools
import gc
from collections.abc import Callable, Iterator


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
