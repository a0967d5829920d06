"""Activation functions, by name or by coefficients.

All of TaskSet's are sums of a few terms, so that which one it is can be an input of a compiled
program, different for each of many tasks that are trained side by side:

    a * max(x, 0) + b * min(x, 0) + c * expm1(min(x, 0)) + d * s + e * x * s + f * cos(x) + g

where s is the logistic function of k * x. Where an activation has a kink, at 0, its derivative is
that from below: units that see nothing but zeros, as at the border of an image, are not rare.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

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
        return _linear(self.coefficients, x) + _curved(self.coefficients, x)

    def branched(self, x: jax.Array) -> jax.Array:
        """The same, without computing terms that no task side by side has; for large arrays."""
        own = self.coefficients
        if own is None:
            return self(x)
        terms = (own.exponential, own.logistic, own.gated, own.cosine, own.constant)
        is_curved = jnp.any(jnp.stack([jnp.asarray(term) for term in terms]) != 0)
        curved = lambda x: _linear(own, x) + _curved(own, x, branched=True)
        return jax.lax.cond(anywhere(is_curved), curved, partial(_linear, own), x)


def _linear(own: Coefficients, x: jax.Array) -> jax.Array:
    """The terms that are straight on either side of 0, which counts as below."""
    above = x > 0
    return own.positive * jnp.where(above, x, 0.0) + own.negative * jnp.where(above, 0.0, x)


def _curved(own: Coefficients, x: jax.Array, branched: bool = False) -> jax.Array:
    """The other terms; `branched`, the cosine, the dearest, only where a task has it."""
    above = x > 0
    # The one exponential, which all terms share.
    decay = jnp.exp(-own.slope * jnp.where(above, x, -x))
    sigmoid = jnp.where(above, 1.0, decay) / (1.0 + decay)
    terms = own.exponential * jnp.where(above, 0.0, decay - 1.0)
    terms = terms + (own.logistic + own.gated * x) * sigmoid + own.constant
    cosine = lambda x: own.cosine * jnp.cos(x)
    if branched:
        return terms + jax.lax.cond(anywhere(own.cosine != 0), cosine, jnp.zeros_like, x)
    return terms + cosine(x)


def check(name: str) -> str:
    """`name`, when it is one of `ACTIVATIONS`; raises `InputError` otherwise."""
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return name
