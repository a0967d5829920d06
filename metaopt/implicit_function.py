"""The point that solves an equation, as a function of what the equation has in it.

If c(inputs, x) = 0, then x moves with the inputs by dx = -(dc/dx)^-1 (dc/dinputs) dinputs, whatever
has found it (Krantz and Parks 2002; for solvers of any kind Blondel et al. 2022,
https://arxiv.org/abs/2105.15183). The linear equation is solved once for each tangent, and its
transpose once for each cotangent, so that forward and reverse mode work, and both over each other.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from metaopt.linear_solvers import Operator, Solver

Zero: TypeAlias = Callable[..., jax.Array]  # of inputs and [size]: [size]


def implicit_function(
    zero: Zero, inputs: Any, at: jax.Array, solver: Solver, symmetric: bool = False
) -> jax.Array:
    """`at`, [size], where zero(inputs, at) is 0, with its derivatives by `inputs`.

    Those of `at` itself count for nothing, those of what `zero` closes over do. `symmetric` says
    that the derivative of `zero` by `at` is, as a Hessian, and saves its transpose. Derivatives are
    NaN where the solver is not sound. `jacfwd` and `jacrev` solve many equations at once, which is
    not for solvers that factorise a matrix: GMRES and Nystrom.
    """
    zero, closed_over = jax.closure_convert(zero, inputs, at)
    return _implicit(zero, solver, symmetric, (inputs, closed_over), jax.lax.stop_gradient(at))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _implicit(zero: Zero, solver: Solver, symmetric: bool, inputs: Any, at: jax.Array) -> jax.Array:
    del zero, solver, symmetric, inputs
    return at


@_implicit.defjvp
def _implicit_jvp(zero: Zero, solver: Solver, symmetric: bool, primals: Any, tangents: Any):
    inputs, at = primals
    at = _implicit(zero, solver, symmetric, inputs, at)  # for derivatives of derivatives
    of = lambda inputs, at: zero(inputs[0], at, *inputs[1])
    _, pushed = jax.jvp(lambda inputs: of(inputs, at), (inputs,), (tangents[0],))
    _, jacobian = jax.linearize(lambda at: of(inputs, at), at)
    solve = functools.partial(_solve, solver, symmetric)
    return at, -jax.lax.custom_linear_solve(jacobian, pushed, solve, solve, symmetric)


def _solve(
    solver: Solver, symmetric: bool, product: Callable[[jax.Array], jax.Array], b: jax.Array
) -> jax.Array:
    transposed = product if symmetric else lambda v: jax.linear_transpose(product, b)(v)[0]
    solution = solver.solve(Operator(product, transposed), b, jnp.zeros_like(b))
    return jnp.where(solution.sound, solution.x, jnp.nan)
