"""What an update of an optimizer costs in time and memory."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from taskset.base import Params

UPDATES = 50  # in one compiled loop, so that its call does not count
REPEATS = 5


class UpdateCost(NamedTuple):
    """The cost of an optimizer on parameters of certain shapes."""

    milliseconds: float  # wall time of one update without its gradient, least of 5 measurements
    state_bytes_per_parameter: float


def measure(optimizer: optax.GradientTransformationExtraArgs, params: Params) -> UpdateCost:
    """Measures compiled updates of `params` on the default device."""

    @jax.jit
    def many_updates(params: Params, state: Any) -> tuple[Params, Any]:
        def one(_: int, carry: tuple[Params, Any]) -> tuple[Params, Any]:
            params, state = carry
            # The parameters stand for their gradient: free, and different at every step.
            updates, state = optimizer.update(params, state, params, value=jnp.ones(()))
            return optax.apply_updates(params, updates), state

        return jax.lax.fori_loop(0, UPDATES, one, (params, state))

    state = jax.jit(optimizer.init)(params)
    jax.block_until_ready(many_updates(params, state))
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(many_updates(params, state))
        seconds.append(time.perf_counter() - start)
    num_params = sum(x.size for x in jax.tree.leaves(params))
    num_bytes = sum(x.nbytes for x in jax.tree.leaves(state))
    return UpdateCost(1e3 * min(seconds) / UPDATES, num_bytes / num_params)
