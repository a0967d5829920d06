"""Activation functions, by name or by coefficients.

All of TaskSet's are sums of a few terms, so that which one it is can be an input of a compiled
program, different for each of many tasks that are trained side by side:

    a * max(x, 0) + b * min(x, 0) + c * expm1(min(x, 0)) + d * s + e * x * s + f * cos(x) + g

where s is the logistic function of k * x. Where an activation has a kink, at 0, its derivative is
that from below: units that see nothing but zeros, as at the border of an image, are not rare.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from taskset.errors import unknown_name
from taskset.networks.branches import anywhere
from taskset.networks.dims import Scalar

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "cos": jnp.cos,
    "elu": jax.nn.elu,
    "sigmoid": jax.nn.sigmoid,
    "leaky_relu1": lambda x: jnp.where(x > 0, x, 0.1 * x),
    "leaky_relu2": lambda x: jnp.where(x > 0, x, 0.2 * x),
    "leaky_relu4": lambda x: jnp.where(x > 0, x, 0.4 * x),
    "swish": jax.nn.silu,
    "gelu": jax.nn.gelu,
}


class Coefficients(NamedTuple):
    """What the terms of an activation are multiplied with; each [] float32."""

    positive: Scalar = 0.0
    negative: Scalar = 0.0
    exponential: Scalar = 0.0
    logistic: Scalar = 0.0
    gated: Scalar = 0.0
    cosine: Scalar = 0.0
    constant: Scalar = 0.0
    slope: Scalar = 1.0  # k


COEFFICIENTS = {
    "relu": Coefficients(positive=1.0),
    "tanh": Coefficients(logistic=2.0, constant=-1.0, slope=2.0),
    "cos": Coefficients(cosine=1.0),
    "elu": Coefficients(positive=1.0, exponential=1.0),
    "sigmoid": Coefficients(logistic=1.0),
    "leaky_relu1": Coefficients(positive=1.0, negative=0.1),
    "leaky_relu2": Coefficients(positive=1.0, negative=0.2),
    "leaky_relu4": Coefficients(positive=1.0, negative=0.4),
    "swish": Coefficients(gated=1.0),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Activation:
    """An elementwise function: one of `ACTIVATIONS`, or the one that the coefficients give."""

    name: str | None = dataclasses.field(metadata={"static": True})
    coefficients: Coefficients | None = None

    def __call__(self, x: jax.Array) -> jax.Array:
        """The activations of `x`, in its shape and dtype."""
        if self.coefficients is None:
            return ACTIVATIONS[str(self.name)](x)
        return _value(False, self.coefficients, x)

    def branched(self, x: jax.Array) -> jax.Array:
        """The same, without computing terms that no task side by side has; for large arrays."""
        if self.coefficients is None:
            return self(x)
        return _value(True, self.coefficients, x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _value(branched: bool, own: Coefficients, x: jax.Array) -> jax.Array:
    """The activations of `x`. There are no derivatives by the coefficients."""
    return _sum(branched, own, x, _linear, _curved, jnp.cos)


@_value.defjvp
def _(
    branched: bool, primals: tuple[Coefficients, jax.Array], tangents: tuple[Any, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # Of a sum in branches, JAX's own derivative keeps an array for each of its terms: 20 times as
    # slow as the activation, on a CPU.
    own, x = primals
    slope = _sum(branched, own, x, _linear_slope, _curved_slope, lambda x: -jnp.sin(x))
    return _value(branched, own, x), slope * tangents[1]


_Terms: TypeAlias = Callable[[Coefficients, jax.Array], jax.Array]


def _sum(
    branched: bool,
    own: Coefficients,
    x: jax.Array,
    linear: _Terms,
    curved: _Terms,
    cosine: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """The sum of all terms; `branched`, of those that a task side by side has."""
    of_cosine = lambda x: own.cosine * cosine(x)
    if not branched:
        return linear(own, x) + curved(own, x) + of_cosine(x)

    def all_terms(x: jax.Array) -> jax.Array:
        cosines = jax.lax.cond(anywhere(own.cosine != 0), of_cosine, jnp.zeros_like, x)
        return linear(own, x) + curved(own, x) + cosines

    terms = (own.exponential, own.logistic, own.gated, own.cosine, own.constant)
    is_curved = jnp.any(jnp.stack([jnp.asarray(term) for term in terms]) != 0)
    return jax.lax.cond(anywhere(is_curved), all_terms, functools.partial(linear, own), x)


def _linear(own: Coefficients, x: jax.Array) -> jax.Array:
    """The terms that are straight on either side of 0, which counts as below."""
    return _linear_slope(own, x) * x


def _linear_slope(own: Coefficients, x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, own.positive, own.negative)


def _curved(own: Coefficients, x: jax.Array) -> jax.Array:
    """The other terms but the cosine, the dearest."""
    decay, sigmoid = _decay_and_sigmoid(own, x)
    terms = own.exponential * jnp.where(x > 0, 0.0, decay - 1.0)
    return terms + (own.logistic + own.gated * x) * sigmoid + own.constant


def _curved_slope(own: Coefficients, x: jax.Array) -> jax.Array:
    decay, sigmoid = _decay_and_sigmoid(own, x)
    of_sigmoid = own.slope * sigmoid * (1.0 - sigmoid)
    terms = own.exponential * jnp.where(x > 0, 0.0, own.slope * decay)
    return terms + own.gated * sigmoid + (own.logistic + own.gated * x) * of_sigmoid


def _decay_and_sigmoid(own: Coefficients, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """exp(-k|x|), the one exponential that all terms share, and the logistic function of k * x."""
    above = x > 0
    decay = jnp.exp(-own.slope * jnp.where(above, x, -x))
    return decay, jnp.where(above, 1.0, decay) / (1.0 + decay)


def check(name: str) -> str:
    """`name`, when it is one of `ACTIVATIONS`; raises `InputError` otherwise."""
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return name
