"""Hyper-parameters as outer parameters: what they start from, and where they may lie.

A mapping from names to `Hyperparameter`s describes them. Their meta-parameters are a mapping from
the same names to free arrays, which the outer optimizer moves; `values` is what these stand for.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.domains import Domain, Real
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Key
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """An array of outer parameters. Raises `InputError` when `start` is not in the domain.

    The shape is free: () for a scalar, [num_groups], [num_steps] for a schedule,
    [num_steps, num_groups], [num_examples] for weights of the data, or that of a tensor of the
    model.
    """

    start: float | tuple[float, ...]  # one for all, or along the last axis
    domain: Domain = Real()
    shape: tuple[int, ...] = ()
    spread: float = 0.0  # standard deviation of normal noise in the free numbers at the start

    def __post_init__(self) -> None:
        if isinstance(self.start, tuple) and self.shape[-1:] != (len(self.start),):
            raise InputError(
                f"start has {len(self.start)} numbers and shape is {self.shape}; "
                "give one number, or one for each along the last axis"
            )
        if not self.domain.contains(self._start()):
            raise InputError(f"start {self.start} is not in {self.domain}")

    def draw(self, key: Key) -> jax.Array:
        """The free numbers to start from, of this shape, in the default float dtype."""
        dtype = jnp.result_type(float)
        free = self.domain.free(jnp.asarray(self._start(), dtype))
        if not self.spread:
            return free
        return self.domain.project(free + self.spread * jax.random.normal(key, self.shape, dtype))

    def _start(self) -> np.ndarray:
        return np.broadcast_to(np.asarray(self.start, np.float64), self.shape)


Hyperparameters = Mapping[str, Hyperparameter]


def start(hyperparameters: Hyperparameters, key: Key) -> MetaParams:
    """The meta-parameters to start from; raises `InputError` when there are none."""
    if not any(np.prod(h.shape) for h in hyperparameters.values()):
        raise InputError("no hyper-parameters to tune; name at least one, with elements")
    keys = jax.random.split(key, len(hyperparameters))
    items = zip(hyperparameters.items(), keys, strict=True)
    return {name: hyperparameter.draw(key) for (name, hyperparameter), key in items}


def values(hyperparameters: Hyperparameters, meta_params: MetaParams) -> Mapping[str, jax.Array]:
    """The hyper-parameters, by name, that `meta_params` stand for."""
    return {name: h.domain.value(meta_params[name]) for name, h in hyperparameters.items()}


def project(hyperparameters: Hyperparameters, meta_params: MetaParams) -> MetaParams:
    """The nearest meta-parameters whose values lie in their domains; for after an outer step."""
    return {name: h.domain.project(meta_params[name]) for name, h in hyperparameters.items()}
