"""Random initial weights, whose distribution is an input of a compiled program.

Draws do not depend on padding: the real part of a padded array has the values that an array of the
real size has, for the same key.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap

from taskset.base import Key
from taskset.errors import unknown_name
from taskset.networks.dims import Dim, Scalar

# A normal distribution cut at two standard deviations has .8796 of its standard deviation.
TRUNCATED_STDDEV = 0.87962566103423978
NORMAL, TRUNCATED, UNIFORM = range(3)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Initializer:
    """Weights of mean 0 and standard deviation `gain / sqrt(fans)`.

    `fans` is 1, the number of inputs, or the mean of the numbers of inputs and outputs, each times
    its coefficient. The standard deviation is that before truncation.
    """

    orthogonal: bool = dataclasses.field(default=False, metadata={"static": True})
    distribution: Scalar = NORMAL  # [] int32
    gain: Scalar = 1.0  # [] float32, as are the next three
    inputs: Scalar = 0.0
    mean_fan: Scalar = 0.0
    constant: Scalar = 0.0
    is_orthogonal: Scalar | None = None  # [] bool; see `either`

    def either(self) -> Self:
        """The same, in whose program orthogonality is an input: a QR is compiled in any case."""
        return dataclasses.replace(self, orthogonal=True, is_orthogonal=np.bool_(self.orthogonal))

    def __call__(self, key: Key, *dims: Dim) -> jax.Array:
        """Weights, [padded sizes of `dims`] float32, zero in the padding.

        The last two of `dims` are inputs and outputs; those before are the window of a kernel.
        """
        orthogonal = lambda: self.gain * _orthogonal(key, dims)
        independent = lambda: self._independent(key, dims)
        if self.is_orthogonal is not None:
            weights = jax.lax.cond(self.is_orthogonal, orthogonal, independent)
        else:
            weights = orthogonal() if self.orthogonal else independent()
        for axis, dim in enumerate(dims):
            weights = dim.clear(weights, axis)
        return weights

    def _independent(self, key: Key, dims: Sequence[Dim]) -> jax.Array:
        window = math.prod(dim.padded for dim in dims[:-2])
        fan_in, fan_out = window * dims[-2].count, window * dims[-1].count
        fans = self.inputs * fan_in + self.mean_fan * (fan_in + fan_out) / 2 + self.constant
        # A window is not padded: with the outputs, its draws take one array instead of three more.
        inputs, outputs = dims[-2].padded, dims[-1].padded
        uniform = draw_uniform(key, (inputs, outputs * window)).reshape(inputs, outputs, window)
        uniform = jnp.moveaxis(uniform, 2, 0).reshape(tuple(dim.padded for dim in dims))
        # The normal quantiles between which the uniform numbers fall: all, or those of -2 and 2.
        reach = jnp.where(self.distribution == TRUNCATED, math.erf(math.sqrt(2)), 1.0)
        normal = math.sqrt(2) * jax.lax.erf_inv(uniform * reach)
        scaled = jnp.where(self.distribution == UNIFORM, uniform * math.sqrt(3), normal)
        return scaled * (self.gain / jnp.sqrt(fans))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LecunNormal:
    """JAX's own: truncated normal weights of variance 1 / inputs; for arrays without padding."""

    def __call__(self, key: Key, *dims: Dim) -> jax.Array:
        """Weights, [sizes of `dims`] float32."""
        return jax.nn.initializers.lecun_normal()(key, tuple(dim.padded for dim in dims))


def initializer(name: str, parameter: float | None, fidelity: str = "intended") -> Initializer:
    """TaskSet's initialiser of this name (https://arxiv.org/abs/2002.11887, appendix).

    "default" is that of dense and convolutional layers: a normal distribution of standard deviation
    1 / sqrt(inputs), cut at two of them. Raises `InputError` for an unknown name.
    """
    gain = 1.0 if parameter is None else float(parameter)
    # The released "truncated_normal" is not truncated.
    cut = NORMAL if fidelity == "released" else TRUNCATED
    known = {
        "default": _scaled(TRUNCATED, 1.0, inputs=1.0),
        "he_normal": _scaled(TRUNCATED, math.sqrt(2) / TRUNCATED_STDDEV, inputs=1.0),
        "he_uniform": _scaled(UNIFORM, math.sqrt(2), inputs=1.0),
        "glorot_normal": _scaled(TRUNCATED, 1 / TRUNCATED_STDDEV, mean_fan=1.0),
        "glorot_uniform": _scaled(UNIFORM, 1.0, mean_fan=1.0),
        "orthogonal": dataclasses.replace(_scaled(NORMAL, gain), orthogonal=True),
        "random_uniform": _scaled(UNIFORM, gain / math.sqrt(3), constant=1.0),
        "random_normal": _scaled(NORMAL, gain, constant=1.0),
        "truncated_normal": _scaled(cut, gain, constant=1.0),
        "variance_scaling": _scaled(TRUNCATED, math.sqrt(gain) / TRUNCATED_STDDEV, inputs=1.0),
    }
    if name not in known:
        raise unknown_name("initializer", name, known)
    return known[name]


def draw_uniform(key: Key, shape: Sequence[int]) -> jax.Array:
    """Uniform numbers in (-1, 1), `shape` float32; a larger shape begins with the same numbers."""
    if len(shape) == 1:
        return jax.random.uniform(key, shape, minval=np.nextafter(np.float32(-1), np.float32(0)))
    keys = jax.random.split(key, shape[0])
    return jax.vmap(lambda key: draw_uniform(key, shape[1:]))(keys)


def draw_normal(key: Key, shape: Sequence[int]) -> jax.Array:
    """Standard normal numbers, `shape` float32; a larger shape begins with the same numbers."""
    return math.sqrt(2) * jax.lax.erf_inv(draw_uniform(key, shape))


def _scaled(distribution: int, gain: float, **fans: float) -> Initializer:
    terms = {name: np.float32(fans.get(name, 0.0)) for name in ("inputs", "mean_fan", "constant")}
    return Initializer(False, np.int32(distribution), np.float32(gain), **terms)


def _orthogonal(key: Key, dims: Sequence[Dim]) -> jax.Array:
    """A matrix with orthonormal columns, or rows where those are fewer; kernels as flat inputs."""
    shape = tuple(dim.padded for dim in dims)
    normal = draw_normal(key, shape)
    for axis, dim in enumerate(dims):
        normal = dim.clear(normal, axis)
    matrix = normal.reshape(-1, shape[-1])
    real_rows = math.prod(shape[:-2]) * dims[-2].count
    tall, wide = q_factor(matrix), q_factor(matrix.T).T
    return jnp.where(real_rows >= dims[-1].count, tall, wide).reshape(shape)


def q_factor(matrix: jax.Array) -> jax.Array:
    """Q of the QR factors with a positive diagonal of R, in the shape of `matrix`.

    Rows and columns of zeros, wherever they are, leave what remains as it would be without them, as
    long as the columns before them have full rank.
    """
    columns = matrix.shape[1]
    q, r = _qr(matrix)
    q = q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)[None]
    return jnp.pad(q, ((0, 0), (0, columns - q.shape[1])))


@sequential_vmap
def _qr(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Q and R. Of many matrices, one after the other.

    The CPU's QR of many at once hands them to the threads that run the program, and waits on one of
    them: where all of these wait so, none is left to do the work.
    """
    q, r = jnp.linalg.qr(matrix)
    return q, r
