"""Normal noise in the free numbers of hyper-parameters, and how uncertain it is.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088), section 3.3: the scale of the noise is tuned
with the hyper-parameters, and its entropy keeps it from becoming nothing.
"""

import math
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp

from taskset.base import Key

Arrays = Mapping[str, jax.Array]  # by name of the hyper-parameter


def perturb(centre: Arrays, scales: Arrays, key: Key, key_shared: Key, shared: Collection[str]):
    """`centre` with noise of standard deviation `scales`; that of `shared` is of their own key."""

    def perturbed(index: int, name: str) -> jax.Array:
        own = jax.random.fold_in(key_shared if name in shared else key, index)
        at = centre[name]
        return at + scales[name] * jax.random.normal(own, at.shape, at.dtype)

    return {name: perturbed(index, name) for index, name in enumerate(centre)}


def entropy(scales: Arrays) -> jax.Array:
    """Of the noise, in nats, []."""
    constant = 0.5 * math.log(2 * math.pi * math.e)
    return sum((jnp.sum(jnp.log(s) + constant) for s in scales.values()), start=jnp.zeros(()))
