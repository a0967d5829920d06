"""The loss of the problems that tell two classes apart."""

import jax
import jax.numpy as jnp

from taskset.base import Params
from taskset.losg.problem import Dims, normal
from taskset.networks.dims import Dim, Scalar

PENALTY = 1e-3


def label_loss(
    logits: jax.Array, label: jax.Array, batch: Dim, params: Params, num_tensors: Scalar
) -> jax.Array:
    """Mean logistic loss, in nats, of the first logit, plus a penalty of squared weights.

    `logits` [batch, 2], `label` [batch] float32 of 0 and 1. The penalty is 1e-3 times the mean over
    the `num_tensors` arrays of `params` of their sums of squares. The second logit has no part.
    """
    logit = logits[:, 0]
    squares = sum((jnp.sum(x**2) for x in jax.tree.leaves(params)), jnp.zeros((), logit.dtype))
    return batch.mean(jax.nn.softplus(logit) - label * logit) + PENALTY * squares / num_tensors


def scaled_normal(key: jax.Array, dims: Dims) -> Params:
    """Normal numbers of standard deviation 1.2 / sqrt(first dimension), for biases too."""
    scales = jax.tree.map(
        lambda dims: 1.2 / jnp.sqrt(jnp.maximum(dims[0].count, 1.0)),
        dims,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    return jax.tree.map(lambda scale, x: scale * x, scales, normal(key, dims))
