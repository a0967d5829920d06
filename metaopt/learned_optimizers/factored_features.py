"""Adam and Adafactor statistics, and a tiny MLP on 28 or 30 features that are made of them.

The features, in the order of the rows of the first layer (m momentum, v second moment,
r = (v + 1e-6)^-1/2; a row or column statistic is one number per row or column; three values are of
three decays):

     0 gradient            6-8   m r                     16-18 column statistic
     1 parameter           9     r                       19-21 row statistic^-1/2
     2-4 m                 10-12 factored gradient       22-24 column statistic^-1/2
     5 v                   13-15 row statistic           25-27 factored momentum

and, where extended, 28 gradient clipped to +-0.1 and 29 gradient r. Each is divided by its root
mean square over the tensor.

No feature tensor is ever built. Scaling a feature is scaling a row of the first layer; row and
column features enter it as a row term plus a column term; what all parameters share is a bias.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import accumulator_dtype, zeros_like_params
from metaopt.learned_optimizers.features import SCALE_EPSILON, FactoredAxes, factored_axes
from metaopt.learned_optimizers.network import Weights, dense, dense_sums, stack_features

MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
SECOND_MOMENT_DECAYS = (0.999,)
FACTORED_DECAYS = (0.9, 0.99, 0.999)
CLIP = 0.1  # of the gradient as an extended feature
ROOT_EPSILON = 1e-6  # added to second moments under a root
STATISTIC_EPSILON = 1e-8  # to row and column statistics under a root, as features
FACTOR_EPSILON = 1e-9  # to, or the least of, what the factored inverse root is made of
SQUARE_EPSILON = 1e-30  # to squared gradients before they are factored
# How many there are of what.
FEATURES: Mapping[str, int] = {
    "gradient": 1,
    "parameter": 1,
    "momenta": 3,
    "second moment": 1,
    "momenta / root of the second moment": 3,
    "inverse root of the second moment": 1,
    "factored gradients": 3,
    "row and column statistics": 6,
    "inverse roots of those": 6,
    "factored momenta": 3,
}
EXTENDED_FEATURES: Mapping[str, int] = {
    **FEATURES,
    "clipped gradient": 1,
    "gradient / root of the second moment": 1,
}
NUM_FEATURES = sum(FEATURES.values())
NUM_EXTENDED = sum(EXTENDED_FEATURES.values())
# What an export says of them.
CONSTANTS: Mapping[str, Any] = {
    "momentum_decays": MOMENTUM_DECAYS,
    "second_moment_decays": SECOND_MOMENT_DECAYS,
    "factored_decays": FACTORED_DECAYS,
    "scale_epsilon": SCALE_EPSILON,
    "root_epsilon": ROOT_EPSILON,
    "statistic_epsilon": STATISTIC_EPSILON,
    "factor_epsilon": FACTOR_EPSILON,
    "square_epsilon": SQUARE_EPSILON,
}
EXTENDED_CONSTANTS: Mapping[str, Any] = {**CONSTANTS, "gradient_clip": CLIP}


class Decays(NamedTuple):
    """How much of each accumulator stays in a step, each [number of decays]."""

    momentum: jax.Array
    second_moment: jax.Array
    factored: jax.Array

    @classmethod
    def fixed(cls, second_moment: float = SECOND_MOMENT_DECAYS[0]) -> "Decays":
        """Decays that are not learned."""
        as_array = lambda decays: jnp.asarray(decays, jnp.float32)
        return cls(as_array(MOMENTUM_DECAYS), as_array([second_moment]), as_array(FACTORED_DECAYS))


class Statistics(NamedTuple):
    """The accumulators of one tensor, or of one tree, by decay."""

    momentum: tuple[Any, ...]
    second_moment: tuple[Any, ...]
    row: tuple[Any, ...]  # second moment averaged over the column axis, which is kept with size 1
    column: tuple[Any, ...]  # ... over the row axis
    # A tensor of fewer than two axes has its full second moment in `row` and nothing in `column`.

    def flat(self) -> list[Any]:
        """The trees, or the arrays of one tensor, one after another."""
        return [x for group in self for x in group]


def zero_statistics(params: Any) -> Statistics:
    """The accumulators of a tree of parameters, at the start."""
    return Statistics(
        momentum=tuple(zeros_like_params(params) for _ in MOMENTUM_DECAYS),
        second_moment=tuple(zeros_like_params(params) for _ in SECOND_MOMENT_DECAYS),
        row=tuple(jax.tree.map(_zero_row, params) for _ in FACTORED_DECAYS),
        column=tuple(jax.tree.map(_zero_column, params) for _ in FACTORED_DECAYS),
    )


class Inputs(NamedTuple):
    """What the features of a tensor are made of."""

    gradient: jax.Array
    param: jax.Array
    statistics: Statistics


class Features(NamedTuple):
    """The features of a tensor, by row of the first layer."""

    full: dict[int, jax.Array]  # of the shape of the tensor
    row: dict[int, jax.Array]  # with size 1 along the column axis
    column: dict[int, jax.Array]  # with size 1 along the row axis


def grouped(flat: Any) -> Statistics:
    """The inverse of `Statistics.flat`; what follows is left out."""
    return Statistics(tuple(flat[:3]), tuple(flat[3:4]), tuple(flat[4:7]), tuple(flat[7:10]))


def accumulate(gradient: jax.Array, old: Statistics, decays: Decays) -> Statistics:
    """The statistics after a gradient."""

    def average(kept: jax.Array, new: jax.Array, decay: jax.Array) -> jax.Array:
        return decay.astype(new.dtype) * kept + (1 - decay.astype(new.dtype)) * new

    def averages(kept: tuple[Any, ...], new: jax.Array, decays: jax.Array) -> tuple[Any, ...]:
        return tuple(average(k, new, decays[i]) for i, k in enumerate(kept))

    square = jnp.square(gradient)
    axes = factored_axes(gradient.shape)
    nonzero = square + SQUARE_EPSILON
    if axes is None:
        row, column = averages(old.row, nonzero, decays.factored), old.column
    else:
        over_column = jnp.mean(nonzero, axis=axes.column, keepdims=True)
        over_row = jnp.mean(nonzero, axis=axes.row, keepdims=True)
        row = averages(old.row, over_column, decays.factored)
        column = averages(old.column, over_row, decays.factored)
    return Statistics(
        momentum=averages(old.momentum, gradient, decays.momentum),
        second_moment=averages(old.second_moment, square, decays.second_moment),
        row=row,
        column=column,
    )


def _features(inputs: Inputs, extended: bool) -> Features:
    gradient, param, (momentum, (second_moment,), row, column) = inputs
    axes = factored_axes(gradient.shape)
    inverse_root = jax.lax.rsqrt(second_moment + ROOT_EPSILON)
    full = {0: gradient, 1: param, 5: second_moment, 9: inverse_root}
    if extended:
        full |= {28: jnp.clip(gradient, -CLIP, CLIP), 29: gradient * inverse_root}
    rows, columns = {}, {}
    for i, (m, r) in enumerate(zip(momentum, row, strict=True)):
        full |= {2 + i: m, 6 + i: m * inverse_root}
        row_root = jax.lax.rsqrt(r + STATISTIC_EPSILON)
        if axes is None:  # `r` is the full second moment, for rows and columns alike
            full[10 + i] = gradient * jax.lax.rsqrt(r + FACTOR_EPSILON)
            full |= {13 + i: r, 16 + i: r, 19 + i: row_root, 22 + i: row_root}
            full[25 + i] = m * jax.lax.rsqrt(r + ROOT_EPSILON)
            continue
        row_factor, column_factor = _factors(r, column[i], axes)
        full |= {10 + i: gradient * (row_factor * column_factor)}
        full |= {25 + i: m * (row_factor * column_factor)}
        rows |= {13 + i: r, 19 + i: row_root}
        columns |= {16 + i: column[i], 22 + i: jax.lax.rsqrt(column[i] + STATISTIC_EPSILON)}
    return Features(full, rows, columns)


def _factors(row: jax.Array, column: jax.Array, axes: FactoredAxes) -> tuple[jax.Array, jax.Array]:
    """The inverse root of the second moment as a product, as in Adafactor (arXiv:1804.04235)."""
    share = row / (jnp.mean(row, axis=axes.row, keepdims=True) + FACTOR_EPSILON)
    inverse_root = lambda x: jax.lax.rsqrt(jnp.maximum(x, FACTOR_EPSILON))
    return inverse_root(share), inverse_root(column)


def _mean_squares(inputs: Inputs, features: Features) -> dict[int, jax.Array]:
    """The mean square of every feature, each [], over the tensor.

    A reduction on a CPU reads its operand from memory, so each feature that is not an input would
    be written out first, which takes longer than the update itself. Of a matrix, all mean squares
    are products of few squares with rows, columns and each other.
    """
    parts = features.full | features.row | features.column
    axes = factored_axes(inputs.gradient.shape)
    if axes is None or inputs.gradient.ndim != 2:
        return {i: jnp.mean(jnp.square(x)) for i, x in parts.items()}

    gradient, param, (momentum, (second_moment,), row, column) = inputs
    size = gradient.size
    squares = [jnp.square(m) for m in momentum]
    inverse = 1 / (second_moment + ROOT_EPSILON)
    means = {i: jnp.mean(jnp.square(x)) for i, x in (features.row | features.column).items()}
    means |= {0: jnp.vdot(gradient, gradient) / size, 1: jnp.vdot(param, param) / size}
    means |= {5: jnp.vdot(second_moment, second_moment) / size, 9: jnp.mean(inverse)}
    if 28 in parts:
        means |= {28: jnp.mean(jnp.square(parts[28]))}
        means |= {29: jnp.vdot(jnp.square(gradient), inverse) / size}
    for i, square in enumerate(squares):
        factors = _factors(row[i], column[i], axes)
        along_row, along_column = (
            jnp.square(factor).reshape(-1)
            for factor in (factors if axes.row == 0 else factors[::-1])
        )
        means[2 + i] = jnp.mean(square)
        means[6 + i] = jnp.vdot(square, inverse) / size
        means[10 + i] = along_row @ (jnp.square(gradient) @ along_column) / size
        means[25 + i] = along_row @ (square @ along_column) / size
    return means


def apply_to_statistics(
    network: Weights, inputs: Inputs, shared: jax.Array, *, extended: bool = False
) -> list[jax.Array]:
    """The outputs of the network, each of the shape of the tensor.

    The network has one hidden layer after the first; `shared`, [k], are features that all
    parameters have in common, after the 28, or 30, in the rows of the first layer.
    """
    return _network(extended, network, inputs, shared)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _network(
    extended: bool, network: Weights, inputs: Inputs, shared: jax.Array
) -> list[jax.Array]:
    """The network as sums of products."""
    first, bias = _first_layer(extended, network, shared)
    features = _features(inputs, extended)
    means = _mean_squares(inputs, features)
    scales = {i: jax.lax.rsqrt(mean + SCALE_EPSILON) for i, mean in means.items()}

    def terms(part: dict[int, jax.Array], unit: int) -> jax.Array | float:
        return sum((first[i, unit] * scales[i]) * x for i, x in part.items())

    def unit(k: int) -> jax.Array:
        broadcast = terms(features.row, k) + (terms(features.column, k) + bias[k])
        return jax.nn.relu(terms(features.full, k) + broadcast)

    hidden = [unit(k) for k in range(first.shape[1])]
    hidden = [jax.nn.relu(x) for x in dense_sums(network["layer1"], hidden)]
    return dense_sums(network["layer2"], hidden)


@_network.defjvp
def _network_jvp(extended: bool, primals: Any, tangents: Any) -> Any:
    # Derivatives of sums of products are hundreds of reductions; of matrix products, a few.
    by_matrices = functools.partial(_network_by_matrices, extended)
    return jax.jvp(by_matrices, primals, tangents)


def _network_by_matrices(
    extended: bool, network: Weights, inputs: Inputs, shared: jax.Array
) -> list[jax.Array]:
    """The same function as `_network`, for differentiation."""
    first, bias = _first_layer(extended, network, shared)
    shape = inputs.gradient.shape
    features = _features(inputs, extended)

    def product(part: dict[int, jax.Array]) -> jax.Array:
        matrix = stack_features([x.reshape(-1) for x in part.values()])
        scales = jax.lax.rsqrt(jnp.mean(jnp.square(matrix), axis=1) + SCALE_EPSILON)
        weight = jnp.stack([first[i] for i in part])
        flat = (weight * scales[:, None]).T @ matrix
        return flat.reshape(-1, *next(iter(part.values())).shape)

    hidden = product(features.full) + bias.reshape(-1, *[1] * len(shape))
    if features.row:
        hidden = hidden + (product(features.row) + product(features.column))
    hidden = jax.nn.relu(hidden.reshape(hidden.shape[0], -1))
    hidden = jax.nn.relu(dense(network["layer1"], hidden))
    return [
        (weight @ hidden + bias).reshape(shape)
        for weight, bias in zip(
            network["layer2"]["weight"].T, network["layer2"]["bias"], strict=True
        )
    ]


def _first_layer(
    extended: bool, network: Weights, shared: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The weights of the features, and the bias with what is shared."""
    weight, num_features = network["layer0"]["weight"], NUM_EXTENDED if extended else NUM_FEATURES
    bias = shared @ weight[num_features:] + network["layer0"]["bias"]
    return weight[:num_features], bias


def _zero_row(param: Any) -> jax.Array:
    return _zero_statistic(param, "column")


def _zero_column(param: Any) -> Any:
    if factored_axes(param.shape) is None:
        return optax.MaskedNode()
    return _zero_statistic(param, "row")


def _zero_statistic(param: Any, averaged: str) -> jax.Array:
    shape = list(param.shape)
    axes = factored_axes(param.shape)
    if axes is not None:
        shape[getattr(axes, averaged)] = 1
    return jnp.zeros(shape, accumulator_dtype(param))
