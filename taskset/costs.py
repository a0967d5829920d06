"""What an inner step of a task costs, by its shapes alone: nothing is compiled or allocated."""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from taskset.augment import Augmented
from taskset.base import TaskFamily
from taskset.configured import ConfiguredFamily


class Costs(NamedTuple):
    """The costs of one inner step of one task: a minibatch, its loss and its gradients."""

    parameters: int
    parameter_bytes: int
    batch_bytes: int
    flops: int  # of matrix products and convolutions, a multiplication and an addition as two
    traffic_bytes: int  # what all operations write, were none of them fused
    memory_bytes: int  # parameters, gradients, a minibatch, and the values of the forward pass


def estimate(family: TaskFamily) -> Costs:
    """The costs of a step of `family`, in a second or so; at once when a bucket mate's are known.

    `flops` is exact but for elementwise operations; `memory_bytes` is above what a compiler needs.
    """
    leaves, structure = jax.tree.flatten(family.load_data())
    shapes = tuple(jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for x in leaves)
    return _estimate(family.program(), family.batch_size, structure, shapes)


@functools.lru_cache(maxsize=4096)
def _estimate(program: TaskFamily, batch_size: int, structure: Any, shapes: Any) -> Costs:
    data = jax.tree.unflatten(structure, shapes)

    def start(data: Any, key: jax.Array) -> tuple[Any, Any, Any]:
        batch = data.sample("train", key, batch_size)
        task = program.sample(data, key)
        return task, task.init(key), batch

    key = jax.eval_shape(lambda: jax.random.key(0))
    task, params, batch = jax.eval_shape(start, data, key)
    loss = lambda task, params, batch, key: task.loss(params, batch, key)
    forward = jax.make_jaxpr(loss)(task, params, batch, key)
    step = jax.make_jaxpr(jax.grad(loss, argnums=1))(task, params, batch, key)
    flops, traffic = _work(step.jaxpr)
    return Costs(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params)),
        parameter_bytes=_bytes(params),
        batch_bytes=_bytes(batch),
        flops=flops,
        traffic_bytes=traffic,
        memory_bytes=2 * _bytes(params) + _bytes(batch) + _work(forward.jaxpr)[1],
    )


def num_parameters(family: TaskFamily) -> int:
    """The number of parameters of a task. Computes nothing; loads no data of configured tasks."""
    if isinstance(family, Augmented):
        return num_parameters(family.family)
    # Outside of the function that is traced, where its sizes would not be numbers.
    template = family.spec.template if isinstance(family, ConfiguredFamily) else None

    def start(seed: jax.Array) -> Any:
        key = jax.random.key(seed)
        if template is not None:
            return template.draw(key).init(key)
        return family.sample(family.load_data(), key).init(key)

    seed = jax.ShapeDtypeStruct((), jnp.uint32)  # a key would be an array, on a device
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(start, seed)))


def _bytes(tree: Any) -> int:
    return sum(_num_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _num_bytes(aval: Any) -> int:
    return math.prod(aval.shape) * aval.dtype.itemsize


def _work(jaxpr: Any) -> tuple[int, int]:
    """Floating-point operations of products, and bytes written, of a jaxpr and those within it."""
    flops, written = 0, 0
    for equation in jaxpr.eqns:
        inner = [_work(found) for found in _inner(equation.params)]
        if inner:
            times = equation.params.get("length", 1)
            combine = max if equation.primitive.name == "cond" else sum
            flops += times * combine(work[0] for work in inner)
            written += times * combine(work[1] for work in inner)
        else:
            flops += _product_flops(equation)
            written += sum(_num_bytes(out.aval) for out in equation.outvars if _is_array(out.aval))
    return flops, written


def _inner(params: Mapping[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an equation."""
    values = [x for v in params.values() for x in (v if isinstance(v, (tuple, list)) else (v,))]
    closed = [getattr(value, "jaxpr", value) for value in values]
    return [value for value in closed if hasattr(value, "eqns")]


def _is_array(aval: Any) -> bool:
    return hasattr(aval, "shape") and not jnp.issubdtype(aval.dtype, jax.dtypes.extended)


def _product_flops(equation: Any) -> int:
    output = equation.outvars[0].aval
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * math.prod(output.shape) * math.prod(shape[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        spec = equation.params["dimension_numbers"].rhs_spec
        per_output = math.prod(kernel) // kernel[spec[0]]
        return 2 * math.prod(output.shape) * per_output
    return 0
