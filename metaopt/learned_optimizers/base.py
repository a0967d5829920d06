"""The interface of every learned optimizer."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from taskset.base import Key
from taskset.errors import InputError

PARAMS_REQUIRED = (
    "a learned optimizer looks at the parameters: call update(gradients, state, params)"
)

MetaParams: TypeAlias = Any  # pytree of float32 arrays: the weights of a learned optimizer


@dataclasses.dataclass(frozen=True)
class LearnedOptimizer(abc.ABC):
    """An optimizer with weights. A frozen configuration of plain values; the weights are passed in.

    `constants` are the numbers that the architecture fixes. They are written into exports, so that
    a file never means something else to another version; only kinds that are exported need them.
    `uses` names what it looks at where it is given: "value", "valid_value" or "num_steps". Training
    gives a "valid_value" to those that use it: the loss of the parameters before the update, on a
    minibatch that no gradient is computed from.
    """

    constants: ClassVar[Mapping[str, Any]]
    uses: ClassVar[tuple[str, ...]] = ()

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        """How many numbers of what enter, for each "parameter", "tensor" or "run"."""
        return {}

    def num_features(self, level: str) -> int:
        """How many numbers enter for each "parameter", "tensor" or "run"."""
        return sum(self.features[level].values())

    @abc.abstractmethod
    def init(self, key: Key) -> MetaParams:
        """Draws untrained weights."""

    @abc.abstractmethod
    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        """The optimizer that these weights describe.

        `update(gradients, state, params, value=loss)` returns what to add to `params`, with the
        structure and dtypes of the gradients. `value` is optional and ignored where the
        architecture does not look at the loss; unknown extra arguments are ignored.

        `num_steps`, the announced length of training, is used by architectures that know their
        horizon and ignored by the others. `update` raises `ValueError` without `params`.
        """

    def evaluation_params(self, opt_state: Any, params: Any) -> Any:
        """What training has come to at `params`, where it is not those that gradients are taken at.

        `opt_state` is that of the transformation of `as_optax`.
        """
        del opt_state
        return params


def meta_param_shapes(optimizer: LearnedOptimizer) -> MetaParams:
    """The meta-parameters as shapes and dtypes; nothing is computed.

    Raises `InputError` where a field of the optimizer has a value that it cannot be built with.
    """
    try:
        return jax.eval_shape(optimizer.init, jax.random.key(0))
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"{optimizer} cannot be built; an argument is wrong") from error


def named_leaves(tree: MetaParams) -> dict[str, Any]:
    """The leaves of meta-parameters by dotted names."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def transformation(
    init: Callable[[Any], Any], update: Callable[..., tuple[Any, Any]]
) -> optax.GradientTransformationExtraArgs:
    """The optax transformation of `init(params)` and `update(gradients, state, params, **extra)`.

    Its `update` raises `ValueError` without `params`.
    """

    def checked(gradients: Any, state: Any, params: Any = None, **extra_args: Any):
        if params is None:
            raise ValueError(PARAMS_REQUIRED)
        return update(gradients, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(init, checked)  # pyright: ignore[reportArgumentType]


def accumulator_dtype(param: jax.Array | jax.ShapeDtypeStruct) -> jnp.dtype:
    """The dtype that the statistics of a tensor are kept in: float32, or float64 for float64."""
    return jnp.dtype(jnp.float64 if param.dtype == jnp.float64 else jnp.float32)


def zeros_like_params(params: Any) -> Any:
    """An accumulator of zeros for every tensor of `params`."""
    return jax.tree.map(lambda p: jnp.zeros_like(p, accumulator_dtype(p)), params)


def tensors(tree: Any) -> list[Any]:
    """The arrays of a tree that have elements: what optimizers with a state per tensor count."""
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.size]


def map_tensors(
    function: Callable[..., Sequence[Any]],
    gradients: Any,
    params: Any,
    accumulators: Sequence[Any] = (),
    rows: Sequence[jax.Array] = (),
) -> tuple[Any, list[Any]]:
    """Applies a per-tensor update rule to every tensor of a tree.

    `function(gradient, param, *accumulators_of_the_tensor, *rows_of_the_tensor)`, all but the rows
    of the dtype of the accumulators, returns the update of the tensor, its next accumulators and
    whatever else is known of it. `rows` are arrays [num_tensors, ...]: see `tensors`.

    The result is the tree of updates, of the dtypes of `gradients`, and a list: the trees of next
    accumulators, then whatever else, each stacked to [num_tensors, ...]. Tensors without elements
    stay as they are.
    """
    leaves, structure = jax.tree.flatten(gradients)
    columns = [structure.flatten_up_to(tree) for tree in (params, *accumulators)]
    results: list[Any] = list(zip(leaves, *columns[1:], strict=True))
    full = [index for index, leaf in enumerate(leaves) if leaf.size]
    arguments = [
        (leaves[index], *(column[index] for column in columns), *(array[i] for array in rows))
        for i, index in enumerate(full)
    ]

    def apply(gradient: jax.Array, param: jax.Array, *old: Any) -> tuple[Any, ...]:
        dtype = accumulator_dtype(param)
        update, *new = function(gradient.astype(dtype), param.astype(dtype), *old)
        return update.astype(gradient.dtype), *new

    is_traced = any(isinstance(leaf, Tracer) for leaf in leaves)
    found = _map_alike(apply, arguments) if is_traced else [apply(*a) for a in arguments]
    num_kept = 1 + len(accumulators)
    for index, result in zip(full, found, strict=True):
        results[index] = result[:num_kept]
    trees = [structure.unflatten([r[i] for r in results]) for i in range(num_kept)]
    others = zip(*(result[num_kept:] for result in found), strict=True)
    return trees[0], trees[1:] + [jnp.stack(arrays) for arrays in others]


def _map_alike(
    function: Callable[..., tuple[Any, ...]], arguments: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """`function` of each of the arguments, compiled once for all that have the same shapes.

    One after another, so that temporary memory is that of one.
    """
    groups: dict[Any, list[int]] = {}
    for index, each in enumerate(arguments):
        leaves, structure = jax.tree.flatten(each)
        groups.setdefault((structure, *((x.shape, x.dtype) for x in leaves)), []).append(index)
    results: list[Any] = [None] * len(arguments)
    for group in groups.values():
        alike = [arguments[index] for index in group]
        if len(alike) == 1:
            results[group[0]] = function(*alike[0])
            continue
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *alike)
        found = jax.lax.map(lambda each: function(*each), stacked)
        for i, index in enumerate(group):
            results[index] = jax.tree.map(lambda x, i=i: x[i], found)
    return results
