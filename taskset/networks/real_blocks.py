"""A scan over those blocks of data that are real, at a cost that goes with them alone.

`lax.scan` with a condition in each step passes over what is skipped too: for every block there,
gradients have zeros added to them. Here a loop ends after the last real block, forward and back,
and the gradient of a table gets what was looked up in it, and nothing else. Such a loop has no
reverse of its own, so the first derivative is written out, and what is differentiated again is the
scan. Forward mode is not defined: JAX says so for any function with a derivative of that kind.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

# body(context, params, carry, looked_up, block) -> carry, result
Body: TypeAlias = Callable[[Any, Any, Any, jax.Array, Any], tuple[Any, Any]]


class Blocks(NamedTuple):
    """What a scan goes over; nothing of it has a gradient."""

    values: Any  # leaves [blocks, ...]
    ids: jax.Array  # [blocks, ...] int32: what each block looks up in the table
    order: jax.Array  # [blocks] int32, real ones first
    num_real: jax.Array  # [] int32

    def at(self, index: jax.Array) -> tuple[Any, jax.Array]:
        """The values and the ids of a block."""
        return _at(self.values, index), self.ids[index]


class Inputs(NamedTuple):
    """What results depend on, and have gradients with respect to."""

    params: Any
    table: jax.Array  # [entries, n]
    carry: Any  # before the first block


def scan_real(body: Body, nothing: Any, inputs: Inputs, context: Any, blocks: Blocks) -> Any:
    """The results of `body` for each block, leaves [blocks, ...]; the numbers of `nothing` for
    those that are not real.

    `body(context, params, carry, looked_up, block)` gives the next carry and the result;
    `context` is a pytree of what else it takes, without gradient.
    """
    run: Any = _run(body, nothing, inputs, context, blocks)
    return run[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run(body: Body, nothing: Any, inputs: Inputs, context: Any, blocks: Blocks) -> tuple[Any, Any]:
    """The results, and the carry before each real block in their order, leaves [blocks, ...].

    The latter is there for the gradient of the former, and has none of its own.
    """
    num_blocks = blocks.order.shape[0]
    step = functools.partial(_step, body, inputs, context, blocks)

    def one(i: jax.Array, loop: Any) -> Any:
        carry, carries, results = loop
        carries = _set(carries, i, carry)
        carry, result = step(carry, blocks.order[i])
        return carry, carries, _set(results, blocks.order[i], result)

    _, result = jax.eval_shape(step, inputs.carry, blocks.order[0])
    many = lambda x, fill: _full(x, (num_blocks, *x.shape), fill)
    carries = jax.tree.map(lambda x: many(x, 0), inputs.carry)
    results = jax.tree.map(many, result, nothing)
    _, carries, results = _loop(blocks.num_real, one, (inputs.carry, carries, results))
    return results, carries


class _Kept(NamedTuple):
    inputs: Any  # Inputs
    context: Any
    blocks: Any  # Blocks
    carries: Any


def _keep(
    body: Body, nothing: Any, inputs: Inputs, context: Any, blocks: Blocks
) -> tuple[Any, _Kept]:
    # Not the loop itself, for this is what is differentiated when the gradient is.
    run: Any = _run(body, nothing, inputs, context, blocks)
    return run, _Kept(inputs, context, blocks, carries=run[1])


def _pull_back(body: Body, nothing: Any, kept: _Kept, of_run: Any) -> tuple[Inputs, None, None]:
    return _gradient(body, nothing, kept, of_run[0]), None, None


_run.defvjp(_keep, _pull_back)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gradient(body: Body, nothing: Any, kept: _Kept, of_results: Any) -> Inputs:
    """The gradients of a scan, from those of its results."""
    del nothing
    inputs, context, blocks, carries = kept

    def one(i: jax.Array, sums: Inputs) -> Inputs:
        i = blocks.num_real - 1 - i
        index = blocks.order[i]
        values, ids = blocks.at(index)
        again = lambda params, carry, rows: body(context, params, carry, rows, values)
        _, pull_back = jax.vjp(again, inputs.params, _at(carries, i), inputs.table[ids])
        of_params, of_carry, of_rows = pull_back((sums.carry, _at(of_results, index)))
        params = jax.tree.map(jnp.add, sums.params, of_params)
        return Inputs(params, sums.table.at[ids].add(of_rows), of_carry)

    return _loop(blocks.num_real, one, jax.tree.map(jnp.zeros_like, inputs))


def _keep_gradient(body: Body, nothing: Any, kept: _Kept, of_results: Any) -> tuple[Inputs, Any]:
    return _gradient(body, nothing, kept, of_results), (kept, of_results)


def _pull_back_gradient(
    body: Body, nothing: Any, kept: tuple[_Kept, Any], of_gradient: Inputs
) -> tuple[_Kept, Any]:
    """What was kept is a function of the inputs: its share of the gradient is in theirs."""
    (inputs, context, blocks, _), of_results = kept

    def gradient(inputs: Inputs, of_results: Any) -> Inputs:
        scan = lambda inputs: _scan(body, nothing, inputs, context, blocks)
        return jax.vjp(scan, inputs)[1](of_results)[0]

    of_inputs, of_results = jax.vjp(gradient, inputs, of_results)[1](of_gradient)
    return _Kept(of_inputs, None, None, None), of_results


_gradient.defvjp(_keep_gradient, _pull_back_gradient)


def _scan(body: Body, nothing: Any, inputs: Inputs, context: Any, blocks: Blocks) -> Any:
    """The same results by operations that can be differentiated any number of times."""
    run = functools.partial(_step, body, inputs, context, blocks)

    def skip(carry: Any, index: jax.Array) -> tuple[Any, Any]:
        _, result = jax.eval_shape(run, carry, index)
        return carry, jax.tree.map(lambda x, fill: _full(x, x.shape, fill), result, nothing)

    # Checkpointed twice: the scan keeps nothing of a block but its start, and the condition gives
    # nothing to the gradient that would have to be filled with zeros when the block is skipped.
    @jax.checkpoint
    def one(carry: Any, at: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        place, index = at
        return jax.lax.cond(place < blocks.num_real, jax.checkpoint(run), skip, carry, index)

    places = jnp.arange(blocks.order.shape[0], dtype=jnp.int32)
    _, results = jax.lax.scan(one, inputs.carry, (places, blocks.order))
    return _at(results, jnp.argsort(blocks.order))


def _step(
    body: Body, inputs: Inputs, context: Any, blocks: Blocks, carry: Any, index: jax.Array
) -> tuple[Any, Any]:
    """The next carry, and the result of a block."""
    values, ids = blocks.at(index)
    return body(context, inputs.params, carry, inputs.table[ids], values)


def _loop(num: jax.Array, one: Callable[[jax.Array, Any], Any], start: Any) -> Any:
    return jax.lax.fori_loop(jnp.zeros((), num.dtype), num, one, start)


def _full(like: jax.ShapeDtypeStruct, shape: tuple[int, ...], fill: float) -> jax.Array:
    return jnp.full(shape, fill, like.dtype)


def _at(tree: Any, index: jax.Array) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def _set(trees: Any, index: jax.Array, tree: Any) -> Any:
    return jax.tree.map(lambda x, new: x.at[index].set(new), trees, tree)
