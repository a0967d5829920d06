"""Problems whose gradients are noisy or sparse, at the same loss."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem, clear, uniform
from taskset.networks.dims import Dim, Scalar

LARGEST = 1 - 2.0**-23  # of the numbers of which float32 has a finite normal quantile


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PerturbedGradient(Problem):
    """A problem of which each entry of the gradient is 0 with a probability, and noisy otherwise.

    Zeros and noise depend on the key alone. The loss is that of the problem, and so are second
    derivatives, as those of the entries that are left.
    """

    problem: Problem
    noise_stdev: Scalar | None = None  # [] float32; None: no noise
    zero_probability: Scalar | None = None  # [] float32; None: 0

    @property
    def dims(self) -> Dims:
        return self.problem.dims

    def init(self, key: Key) -> Params:
        return self.problem.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        numbers = uniform(key, self.dims)
        lowest = -1.0 if self.zero_probability is None else 2 * self.zero_probability - 1
        kept = jax.tree.map(lambda x: (x >= lowest).astype(x.dtype), numbers)
        params, nothing = _perturb(params, kept, self._noise(numbers, kept, lowest))
        return self.problem.loss(params, batch, key) + nothing

    def _noise(self, numbers: Params, kept: Params, lowest: Scalar) -> Params:
        """The noise of the entries that are kept, those with `numbers` above `lowest`.

        Their place between `lowest` and 1 is the quantile: one number decides both.
        """
        stdev = self.noise_stdev
        if stdev is None:
            return jax.tree.map(jnp.zeros_like, numbers)

        def noise(number: jax.Array, keep: jax.Array, dims: tuple[Dim, ...]) -> jax.Array:
            share = jnp.clip(2 * (number - lowest) / (1 - lowest) - 1, -LARGEST, LARGEST)
            return clear(keep * (stdev * math.sqrt(2) * jax.lax.erf_inv(share)), dims)

        return jax.tree.map(noise, numbers, kept, self.dims)


@jax.custom_jvp
def _perturb(params: Params, kept: Params, noise: Params) -> tuple[Params, jax.Array]:
    """`params` and 0, whose derivatives are `kept` times that of `params`, and `noise`."""
    del kept, noise
    return params, jnp.zeros((), jnp.result_type(*jax.tree.leaves(params)))


@_perturb.defjvp
def _perturb_jvp(primals: Any, tangents: Any) -> Any:
    params, kept, noise = primals
    tangent = tangents[0]
    # Not of `_perturb`: what is differentiated once more is to be perturbed once only.
    primals_out = params, jnp.zeros((), jnp.result_type(*jax.tree.leaves(params)))
    products = jax.tree.map(lambda x, t: jnp.sum(x * t), noise, tangent)
    tangent_out = jax.tree.map(lambda x, t: x * t, kept, tangent)
    return primals_out, (tangent_out, jax.tree.reduce(jnp.add, products))
