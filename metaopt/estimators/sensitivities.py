"""How the state of a run depends on the meta-parameters, carried along with it.

With s_{t+1} = F(s_t, theta), the Jacobian Z_t = d s_t / d theta follows

    Z_{t+1} = A_t Z_t + B_t,    A_t = dF/ds,  B_t = dF/dtheta  (Franceschi et al. 2017,

https://arxiv.org/abs/1703.01785, section 3.2): memory for a copy of the state for each
meta-parameter, however long the run.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.real_leaves import real_leaves, with_real_leaves
from taskset.base import Dataset, Key
from taskset.errors import InputError


class Sensitive(NamedTuple):
    """The state of a run, and its derivatives."""

    state: Any
    columns: list[jax.Array]  # of the real leaves of `state`, each [num_meta_params, ...]


def directions(meta_params: MetaParams, shares: int = 1, share: Any = 0) -> MetaParams:
    """The unit vectors of the meta-parameters, or a share of them: leaves [num_columns, ...].

    Where shares cannot be equal, the last is filled up with zeros. `share` may be traced.
    """
    flat, unravel = ravel_pytree(meta_params)
    num_columns = -(-flat.size // shares)
    first = jnp.asarray(share, jnp.int32) * num_columns
    mine = jax.nn.one_hot(
        first + jnp.arange(num_columns, dtype=jnp.int32), flat.size, dtype=flat.dtype
    )
    return jax.vmap(unravel)(mine)


def start(
    problem: InnerProblem,
    meta_params: MetaParams,
    data: Dataset,
    key: Key,
    chunk: int,
    along: MetaParams,
) -> Sensitive:
    """A new run, with what its start owes to the meta-parameters, `along` some `directions`."""

    def init(meta_params: MetaParams):
        state = problem.init(meta_params, data, key)
        return real_leaves(state), state

    _, tangent, state = jax.linearize(init, meta_params, has_aux=True)
    return Sensitive(state, _map(tangent, along, chunk))


def advance(
    problem: InnerProblem,
    meta_params: MetaParams,
    run: Sensitive,
    data: Dataset,
    key: Key,
    decay: float,
    chunk: int,
    along: MetaParams,
) -> Sensitive:
    """The next step: Z <- A (decay Z) + B, `chunk` columns at a time, or all at once if 0."""

    def step(real: list[jax.Array], meta_params: MetaParams):
        after = problem.advance(meta_params, with_real_leaves(run.state, real), data, key)
        return real_leaves(after), after

    _, tangent, after = jax.linearize(step, real_leaves(run.state), meta_params, has_aux=True)

    def column(column: tuple[list[jax.Array], MetaParams]) -> list[jax.Array]:
        of_state, of_meta_params = column
        return tangent([decay * x for x in of_state], of_meta_params)

    return Sensitive(after, _map(column, (run.columns, along), chunk))


def gradient(
    loss: Any, meta_params: MetaParams, run: Sensitive, along: MetaParams
) -> tuple[MetaParams, Any]:
    """D loss / d theta, the direct part included, of `loss(meta_params, state) -> (loss, aux)`.

    Returns the gradient, 0 but for the directions that `run` was carried `along`, and what `loss`
    returned besides.
    """

    def of_real(meta_params: MetaParams, real: list[jax.Array]):
        return loss(meta_params, with_real_leaves(run.state, real))

    direct_and_real = jax.grad(of_real, argnums=(0, 1), has_aux=True)
    (direct, of_state), aux = direct_and_real(meta_params, real_leaves(run.state))
    flat, unravel = ravel_pytree(direct)
    # Chosen, not multiplied: what is not finite stays where it is.
    chosen = jax.vmap(lambda unit: ravel_pytree(unit)[0])(along) > 0  # [num_columns, size]
    slopes = jnp.sum(jnp.where(chosen, flat[None], 0), axis=1)
    for column, slope in zip(run.columns, of_state, strict=True):
        rows = column.reshape(len(chosen), -1)
        indirect = jnp.matmul(rows, slope.reshape(-1), precision="highest")
        slopes = slopes + indirect.astype(flat.dtype)
    return unravel(jnp.sum(jnp.where(chosen, slopes[:, None], 0), axis=0)), aux


def check_memory(
    problem: InnerProblem,
    meta_params: MetaParams,
    data: Dataset,
    key: Key,
    num_tasks: int,
    budget: float,
    shares: int = 1,
) -> None:
    """Raises `InputError` when the columns of `num_tasks` runs take more than `budget` gigabytes.

    Of one share of them; two copies are counted, before and after a step.
    """
    num_meta_params = sum(np.size(x) for x in jax.tree.leaves(meta_params))
    real = jax.eval_shape(lambda *a: real_leaves(problem.init(*a)), meta_params, data, key)
    of_state = sum(x.size * x.dtype.itemsize for x in real)
    gigabytes = 2 * num_tasks * -(-num_meta_params // shares) * of_state / 1e9
    if gigabytes > budget:
        raise InputError(
            f"forward mode needs {gigabytes:.3g} GB for the derivatives of {num_tasks} runs by "
            f"{num_meta_params:,} meta-parameters, and memory_budget is {budget:g} GB; lower "
            "num_tasks, raise memory_budget, or use FullBackprop, whose memory does not grow with "
            "the number of meta-parameters"
        )


def _map(function: Any, columns: Any, chunk: int) -> Any:
    if not chunk:
        return jax.vmap(function)(columns)
    return jax.lax.map(function, columns, batch_size=chunk)
