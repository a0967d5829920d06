"""Free memory goes back to the system, and garbage is not looked for while programs are traced."""

import ctypes
import gc
import os
from pathlib import Path

import pytest

from workers import memory

CHUNK, NUM_CHUNKS = 100_000, 2000  # bytes; below what the C library maps by itself


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_the_c_library_keeps_goes_back_to_the_system():
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        memory.give_back()
        pytest.skip("this C library keeps nothing that could be asked for")
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    chunks = [library.malloc(CHUNK) for _ in range(NUM_CHUNKS)]
    for chunk in chunks:
        ctypes.memset(chunk, 1, CHUNK)
    for chunk in chunks[:-1]:  # the last one keeps the others from being the end of the heap
        library.free(chunk)
    before = resident_bytes()
    memory.give_back()
    assert before - resident_bytes() > CHUNK * NUM_CHUNKS / 2
    library.free(chunks[-1])


def test_garbage_is_looked_for_as_before_whatever_happens():
    with pytest.raises(ValueError, match="within"), memory.no_collection():
        assert not gc.isenabled()
        raise ValueError("within")
    assert gc.isenabled()
    gc.disable()
    try:
        with memory.no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
