"""Symmetric matrices of given eigenvalues along random axes, times a vector."""

import jax
import jax.numpy as jnp

from taskset.base import Key
from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_normal, draw_uniform, q_factor


def reflected_product(key: Key, eigenvalues: jax.Array, x: jax.Array, dim: Dim) -> jax.Array:
    """`Q diag(eigenvalues) Q.T x`, [dim], of a uniformly distributed rotation Q, in dim**2 steps.

    Q is a product of reflections, of which the i-th leaves the first i entries as they are (Stewart
    1980, "The efficient generation of random orthogonal matrices"); it is never formed. The signs
    of its columns, which cancel, are not drawn.
    """
    normal = jnp.triu(draw_normal(key, (dim.padded, dim.padded)))
    normal = dim.clear(dim.clear(normal, 0), 1)
    length = jnp.sqrt(jnp.sum(normal**2, axis=1))
    sign = jnp.where(jnp.diagonal(normal) < 0, -1.0, 1.0)
    axes = normal + jnp.diag(sign * length)
    length = jnp.sqrt(jnp.sum(axes**2, axis=1, keepdims=True))
    axes = axes / jnp.where(length > 0, length, 1.0)
    return _reflect(axes, eigenvalues * _reflect(axes, x), reverse=True)


def factored_product(key: Key, eigenvalues: jax.Array, x: jax.Array, dim: Dim) -> jax.Array:
    """The same where Q is the QR factor of a matrix uniform in (-1, 1), in dim**3 steps."""
    uniform = draw_uniform(key, (dim.padded, dim.padded))
    rotation = q_factor(dim.clear(dim.clear(uniform, 0), 1))
    return rotation @ (eigenvalues * (rotation.T @ x))


def _reflect(axes: jax.Array, x: jax.Array, reverse: bool = False) -> jax.Array:
    """`x` reflected along one row of `axes` after the other, [dim]."""

    def reflect(x: jax.Array, axis: jax.Array) -> tuple[jax.Array, None]:
        return x - 2 * axis * jnp.sum(axis * x), None

    return jax.lax.scan(reflect, x, axes, reverse=reverse)[0]
