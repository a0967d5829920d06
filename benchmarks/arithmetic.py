"""The arithmetic of a program, and how fast a core does it: what no program of it is faster than.

Operations are counted in the program as JAX traces it, loops included, before XLA simplifies or
fuses anything. Rates are of the core that asks: products of matrices as large as the networks of
learned optimizers have them, for runs side by side with weights of their own; a chain of
multiplications and additions in one loop over what the cache holds; exponentials.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import measure
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

TRANSCENDENTAL = {
    *("exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "sin", "cos", "tan", "atan2"),
    *("sqrt", "rsqrt", "cbrt", "pow", "erf", "erf_inv", "sinh", "cosh", "asinh", "acosh", "atanh"),
}
# What moves numbers, or says of what shape they are.
MOVES = {
    *("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "concatenate", "slice"),
    *("dynamic_slice", "dynamic_update_slice", "gather", "scatter", "pad", "rev", "iota", "split"),
    *("convert_element_type", "bitcast_convert_type", "copy", "select_n"),
    *("optimization_barrier", "random_wrap", "random_unwrap", "random_split", "random_fold_in"),
}
BITS = 40  # operations for a random word of 32 bits, by threefry
RUNS, SIDE, LENGTH, REPEATS = 32, 32, 2048, 20  # of what rates are measured with


class Operations(NamedTuple):
    """How many of each kind."""

    products: float = 0.0  # multiplications and additions of products of matrices
    simple: float = 0.0  # additions, multiplications, comparisons, ...
    transcendental: float = 0.0  # exponentials, roots, ...

    def plus(self, other: "Operations", times: float = 1.0) -> "Operations":
        """These and `times` the others."""
        return Operations(*(a + times * b for a, b in zip(self, other, strict=True)))


class Rates(NamedTuple):
    """Operations per CPU second of one core."""

    products: float
    simple: float
    transcendental: float

    def seconds(self, operations: Operations) -> float:
        """What the operations take at these rates."""
        return sum(count / rate for count, rate in zip(operations, self, strict=True))


def operations(function: Callable[..., Any], *arguments: Any, turns: int) -> Operations:
    """The operations of `function` of these arguments. Nothing is computed.

    `turns` are those of every `while`, which does not say how many it takes.
    """
    return _of_program(jax.make_jaxpr(function)(*arguments).jaxpr, turns)


def _of_program(program: Jaxpr, turns: int) -> Operations:
    total = Operations()
    for equation in program.eqns:
        total = total.plus(_of_equation(equation, turns))
    return total


def _of_equation(equation: JaxprEqn, turns: int) -> Operations:
    name = equation.primitive.name
    parts = [_of_program(part, turns) for part in _programs(equation)]
    if name == "cond":
        return max(parts, key=sum)
    if parts:
        times = {"scan": equation.params.get("length"), "while": turns}.get(name, 1)
        return Operations().plus(Operations(*map(sum, zip(*parts, strict=True))), times)
    size = math.prod(_shape(equation.outvars[0]))
    if name == "dot_general":
        shape = _shape(equation.invars[0])
        (contracted, _), _ = equation.params["dimension_numbers"]
        return Operations(products=2.0 * size * math.prod(shape[axis] for axis in contracted))
    if name.startswith(("random_bits", "threefry")):
        return Operations(simple=BITS * size)
    if name in TRANSCENDENTAL:
        return Operations(transcendental=size)
    if name.startswith(("reduce", "cum", "arg")):
        size = math.prod(_shape(equation.invars[0]))
    return Operations() if name in MOVES else Operations(simple=size)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _programs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs inside of an equation: bodies of loops, branches, functions."""
    for value in jax.tree.leaves(
        list(equation.params.values()), is_leaf=lambda x: isinstance(x, Jaxpr | ClosedJaxpr)
    ):
        if isinstance(value, Jaxpr | ClosedJaxpr):
            yield value.jaxpr if isinstance(value, ClosedJaxpr) else value


def rates() -> Rates:
    """Those of this core, in some seconds."""
    wide = jnp.linspace(0.1, 1.0, RUNS * SIDE * LENGTH).reshape(RUNS, SIDE, LENGTH)
    square = jnp.broadcast_to(jnp.eye(SIDE), (RUNS, SIDE, SIDE))
    flat = wide[0].reshape(-1)

    def chain(x: jax.Array) -> jax.Array:
        for step in range(SIDE):
            x = x * 0.999 + 0.001 * step
        return x

    return Rates(
        products=_rate(lambda x: square @ x, wide, 2 * SIDE * wide.size),
        simple=_rate(chain, flat, 2 * SIDE * flat.size),
        transcendental=_rate(lambda x: jnp.exp(x - 1.0), flat, flat.size),
    )


def _rate(body: Callable[[jax.Array], jax.Array], start: jax.Array, num_operations: int) -> float:
    loop = jax.jit(lambda x: jax.lax.fori_loop(0, REPEATS, lambda _, x: body(x), x))
    jax.block_until_ready(loop(start))
    timing = measure.timed(lambda: loop(start), repeats=8)
    return REPEATS * num_operations / timing.cpu
