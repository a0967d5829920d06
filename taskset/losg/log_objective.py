"""Problems on a logarithmic scale."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Scalar

TINY = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogObjective(Problem):
    """log(f + 1e-6) - log(1e-6) of the loss f of a problem.

    Below 0, f counts as 0; or with `floored` false the loss is NaN below -1e-6, as in the released
    code.
    """

    problem: Problem
    floored: bool = dataclasses.field(default=True, metadata={"static": True})
    chosen: Scalar | None = None  # [] bool: false leaves f as it is; None: true

    @property
    def dims(self) -> Dims:
        return self.problem.dims

    def init(self, key: Key) -> Params:
        return self.problem.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        loss = self.problem.loss(params, batch, key)
        if self.chosen is None:
            return self._log(loss)
        # Where it is not chosen, what the logarithm sees must have a finite derivative.
        return jnp.where(self.chosen, self._log(jnp.where(self.chosen, loss, 1.0)), loss)

    def _log(self, loss: jax.Array) -> jax.Array:
        floor = jnp.maximum(loss, 0.0) if self.floored else loss
        return jnp.log(floor + TINY) - np.log(TINY).astype(loss.dtype)
