"""Squared lengths |(A + N) x|**2, with noise N on the matrix: `quadratic_family` of TaskSet."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Dataset, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.data.constants import Constants
from taskset.losg.random_rotation import factored_product, reflected_product
from taskset.networks.choices import Choice
from taskset.networks.dims import Dim, Scalar
from taskset.networks.initializers import draw_uniform
from taskset.options import Options

DIMS = (64, 512, 1024, 3000)  # of buckets; beyond the first, a step costs the square
TINY = 1e-8  # added to what a logarithm is taken of


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Entries:
    """Independent numbers: normal of mean `first` and standard deviation `second`, or uniform."""

    kind: Choice  # normal, or uniform between first and second
    first: Scalar  # [] float32
    second: Scalar

    def draw(self, key: Key, *dims: Dim) -> jax.Array:
        """[padded sizes of `dims`] float32, zero in the padding."""
        uniform = draw_uniform(key, tuple(dim.padded for dim in dims))
        numbers = self.kind.pick(
            {
                "normal": lambda: (
                    self.first + self.second * (math.sqrt(2) * jax.lax.erf_inv(uniform))
                ),
                "uniform": lambda: self.first + (self.second - self.first) * (uniform + 1) / 2,
            }
        )
        for axis, dim in enumerate(dims):
            numbers = dim.clear(numbers, axis)
        return numbers


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EntryNoise:
    """A matrix of independent entries."""

    entries: Entries

    def product(self, key: Key, x: jax.Array, dim: Dim) -> jax.Array:
        """A fresh matrix times `x`, [dim]."""
        return self.entries.draw(key, dim, dim) @ x


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SpectralNoise:
    """A symmetric matrix of given eigenvalues, along random axes.

    The axes are uniform, at a cost of dim**2; or with `released` those of the QR factors of a
    matrix uniform in (-1, 1), nearly the same, at a cost of dim**3.
    """

    released: bool = dataclasses.field(metadata={"static": True})
    kind: Choice  # of the spaces between eigenvalues: linspace_eigen or logspace_eigen
    low: Scalar  # [] float32
    high: Scalar

    def product(self, key: Key, x: jax.Array, dim: Dim) -> jax.Array:
        """A fresh matrix times `x`, [dim]."""
        multiply = factored_product if self.released else reflected_product
        return multiply(key, self.eigenvalues(dim), x, dim)

    def eigenvalues(self, dim: Dim) -> jax.Array:
        """From `low` to `high`, [dim] float32, zero in the padding."""
        share = jnp.arange(dim.padded, dtype=jnp.float32) / (dim.count - 1)
        values = self.kind.pick(
            {
                "linspace_eigen": lambda: self.low + (self.high - self.low) * share,
                "logspace_eigen": lambda: self.low * jnp.exp(share * jnp.log(self.high / self.low)),
            }
        )
        return dim.clear(values)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SampledQuadratic(ConfiguredTask):
    """`scale` times |(A + N) x|**2, or times its logarithm. A batch is {"matrix": A}.

    N is drawn anew from the key of each loss.
    """

    dim: Dim
    start: Entries
    output: Choice  # identity or log
    scale: Scalar  # [] float32
    noise: EntryNoise | SpectralNoise | None
    start_seed: Scalar | None = None  # [] int32, of the one start of all runs; None: by key

    def init(self, key: Key) -> Params:
        """The starting point, [dim] float32."""
        key = key if self.start_seed is None else jax.random.key(self.start_seed)
        return self.start.draw(key, self.dim)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        product = batch["matrix"] @ params
        if self.noise is not None:
            product += self.noise.product(key, params, self.dim)
        squares = jnp.sum(product**2)
        return self.scale * self.output.pick(
            {"identity": lambda: squares, "log": lambda: jnp.log(squares + TINY)}
        )


@dataclasses.dataclass(frozen=True)
class MatrixData:
    """The matrix A of a configuration, as `DataSpec` wants it; all tasks share it."""

    kind: str
    first: float  # mean, or minimum
    second: float  # standard deviation, or maximum
    dim: int
    padded: int
    seed: int

    def load(self) -> Dataset:
        """{"matrix": [padded, padded] float32} in every batch, zero in the padding."""
        return _load(self)

    def draw(self) -> np.ndarray:
        """The matrix without padding, [dim, dim] float64."""
        rng, shape = np.random.RandomState(self.seed), (self.dim, self.dim)
        if self.kind == "normal":
            return rng.normal(self.first, self.second, shape)
        if self.kind == "uniform":
            return rng.uniform(self.first, self.second, shape)
        # The signs of columns, which the released code fixes, cancel.
        axes, _ = np.linalg.qr(rng.uniform(-1.0, 1.0, shape))
        space = np.linspace if self.kind == "linspace_eigen" else np.geomspace
        return (axes * space(self.first, self.second, self.dim)[None]) @ axes.T


@functools.lru_cache(maxsize=4)
def _load(data: MatrixData) -> Constants:
    missing = data.padded - data.dim
    matrix = np.pad(data.draw().astype(np.float32), ((0, missing), (0, missing)))
    with jax.ensure_compile_time_eval():  # a cached value must not be a tracer of the caller's jit
        return Constants({"matrix": jax.device_put(matrix)})


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `quadratic_family`."""
    dim = options.dim(config["dims"], DIMS)
    seed = config["seed"]
    noise = config["noise"]
    task = SampledQuadratic(
        dim,
        _entries(config["initial_dist"], options),
        options.choice(config["output_fn"], ("identity", "log")),
        np.float32(config["loss_scale"]),
        None if noise is None else _noise(noise["A_noise"], options),
        np.int32(seed + 1) if options.released else None,
    )
    kind, parameters = config["A_dist"]
    first, second = parameters.values()
    data = MatrixData(kind, first, second, config["dims"], dim.padded, seed + 2)
    return TaskSpec(task, data, 0)


def _noise(distribution: Sequence[Any], options: Options) -> EntryNoise | SpectralNoise:
    kind, parameters = distribution
    if kind in ("normal", "uniform"):
        return EntryNoise(_entries(distribution, options))
    low, high = map(np.float32, parameters.values())
    spaces = options.choice(kind, ("linspace_eigen", "logspace_eigen"))
    return SpectralNoise(options.released, spaces, low, high)


def _entries(distribution: Sequence[Any], options: Options) -> Entries:
    kind, parameters = distribution
    first, second = map(np.float32, parameters.values())
    return Entries(options.choice(kind, ("normal", "uniform")), first, second)
