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
    `uses` names what it looks at where it is given: "value", "valid_value" or "num_steps".
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


def meta_param_shapes(optimizer: LearnedOptimizer) -> MetaParams:
    """The meta-parameters as shapes and dtypes; nothing is computed.

    Raises `InputError` where a field of the optimizer has a value that it cannot be built with.
    """
    try:
        return jax.eval_shape(optimizer.init, jax.random.key(0))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{optimizer} cannot be built; an argument is wrong") from error


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

    def apply(gradient: jax.Array, param: jax.Array, *old: Any) -> Sequence[Any]:
        dtype = accumulator_dtype(param)
        update, *new = function(gradient.astype(dtype), param.astype(dtype), *old)
        return update.astype(gradient.dtype), *new

    if any(isinstance(leaf, Tracer) for leaf in leaves):
        # So a rule is traced once for all tensors of a shape. Called outside of a compiled program,
        # it would be compiled anew for every update.
        apply = jax.jit(apply)
    results, stacked, index = [], [], 0
    num_kept = 1 + len(accumulators)
    for gradient, param, *old in zip(leaves, *columns, strict=True):
        if not gradient.size:
            results.append((gradient, *old))
            continue
        result = apply(gradient, param, *old, *(array[index] for array in rows))
        results.append(result[:num_kept])
        stacked.append(result[num_kept:])
        index += 1
    trees = [structure.unflatten([r[i] for r in results]) for i in range(num_kept)]
    return trees[0], trees[1:] + [jnp.stack(arrays) for arrays in zip(*stacked, strict=True)]
