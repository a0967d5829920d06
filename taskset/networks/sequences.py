"""Recurrent cores over sequences that are padded, in rows and in time, at a small cost.

Padding to the sizes of a bucket may be most of a minibatch. So it is cut into blocks of some rows
and some steps, and blocks without anything real are skipped. Which those are may not depend on the
examples: then they would differ between tasks that are trained side by side, and none could be
skipped. It is said by "extent" in a minibatch: how many steps of each row a configuration has.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from taskset.networks.dims import Dim
from taskset.networks.losses import PADDING_LOGIT
from taskset.networks.recurrent import Core, State

BLOCK_ROWS = 64
STEP_BLOCKS = 4  # blocks that the steps are cut into
LARGEST_LOGITS = 2**22  # numbers that exist at a time


class Block(NamedTuple):
    """What happens to some rows in some steps; time comes first."""

    inputs: Any  # leaves [steps, rows]: what `project` takes
    real: jax.Array | None  # [steps, rows] bool; elsewhere the state stays as it is. None: all
    labels: Any = None  # leaves [steps, rows]: what `read` takes
    num_steps: jax.Array | None = None  # [] int32: later ones are padding. None: none is


def unroll(
    core: Core, weights: Any, state: State, projected: jax.Array, real: jax.Array | None
) -> tuple[State, jax.Array]:
    """The last state, and the outputs [steps, rows, hidden], from `projected` [steps, rows, n]."""

    def step(state: State, now: Any) -> tuple[State, jax.Array]:
        projected, real = now
        after = core.step(weights, state, projected)
        if real is not None:
            keep = lambda new, old: jnp.where(real[:, None], new, old)
            after = tuple(keep(*pair) for pair in zip(after, state, strict=True))
        return after, after[0]

    return jax.lax.scan(step, state, (projected, real))


def read_sequences(
    core: Core,
    weights: Any,
    start: State,
    sequences: Block,
    project: Callable[[Any], jax.Array],
    read: Callable[[jax.Array, Block], Any],
    nothing: Any = 0.0,
    extent: jax.Array | None = None,
) -> tuple[Any, jax.Array]:
    """What `read` makes of the outputs [steps, rows, hidden] of each block, and the last outputs.

    `weights` are what the core's `arrange` gave, `start` is the state before the first step, leaves
    [1, hidden]. `sequences` has leaves [rows, steps]. `project(inputs)` gives what the core adds up
    of its inputs. `extent`, [rows] int32, is None when nothing is padding. A block that is skipped
    reads as the numbers of `nothing`. Readings have leaves [row blocks, step blocks, ...]; last
    outputs are [rows, hidden].
    """
    rows, steps = jax.tree.leaves(sequences)[0].shape
    shape = (rows, steps) if extent is None else (BLOCK_ROWS, math.ceil(steps / STEP_BLOCKS))
    grid = (math.ceil(rows / shape[0]), math.ceil(steps / shape[1]))
    start = tuple(jnp.broadcast_to(x, (shape[0], x.shape[1])) for x in start)

    def run(state: State, block: Block) -> tuple[State, Any]:
        state, outputs = unroll(core, weights, state, project(block.inputs), block.real)
        return state, read(outputs, block)

    def skip(state: State, block: Block) -> tuple[State, Any]:
        _, readings = jax.eval_shape(run, state, block)
        return state, jax.tree.map(lambda x, fill: jnp.full(x.shape, fill), readings, nothing)

    # Checkpointed twice: the scan keeps nothing of a block but its start, and the condition gives
    # nothing to the gradient that would have to be filled with zeros when the block is skipped.
    @jax.checkpoint
    def one(state: State, at: Any) -> tuple[State, Any]:
        is_first, block = at
        state = jax.tree.map(lambda a, b: jnp.where(is_first, a, b), start, state)
        is_real = block.num_steps > 0
        state, readings = jax.lax.cond(is_real, jax.checkpoint(run), skip, state, block)
        return state, (readings, state[0])

    if extent is None:
        whole = jax.tree.map(lambda x: x.T, sequences)
        state, readings = run(start, whole)
        return jax.tree.map(lambda x: x[None, None], readings), state[0]
    blocks = jax.tree.map(lambda x: _blocks(x, shape, grid), sequences)
    blocks = blocks._replace(num_steps=_num_steps(extent, shape, grid))
    is_first = np.arange(math.prod(grid)) % grid[1] == 0
    _, readings = jax.lax.scan(one, start, (is_first, blocks))
    readings, last = jax.tree.map(lambda x: x.reshape(grid + x.shape[1:]), readings)
    return readings, last[:, -1].reshape(-1, last.shape[-1])[:rows]


def cross_entropy_sum(
    params: Any,
    outputs: jax.Array,
    label: jax.Array,
    weight: jax.Array,
    vocab: Dim,
    num_steps: jax.Array | None = None,
) -> jax.Array:
    """The weighted sum of cross-entropies, in nats, [] float32, of a dense layer on `outputs`.

    `outputs` are [steps, rows, hidden], `label` and `weight` [steps, rows]. Logits are computed,
    and computed again for the gradient, for so many tokens at a time that memory is bounded; not
    for those after the first `num_steps` steps.
    """
    mask = vocab.mask()
    bias = params["bias"] if mask is None else jnp.where(mask, params["bias"], PADDING_LOGIT)
    ids = jnp.arange(vocab.padded)[None]

    def total(x: jax.Array, label: jax.Array, weight: jax.Array) -> jax.Array:
        logits = x @ params["weight"] + bias[None]
        # A comparison is fused into the sum and, other than a gather, into its gradient.
        picked = jnp.sum(jnp.where(ids == label[:, None], logits, 0.0), axis=1)
        entropies = jax.nn.logsumexp(logits, axis=1) - picked
        return jnp.sum(jnp.where(weight > 0, weight * entropies, 0.0))

    @jax.checkpoint
    def one(so_far: jax.Array, at: Any) -> tuple[jax.Array, None]:
        begin, part = at
        if num_steps is None:
            return so_far + total(*part), None
        is_real = begin < num_steps * label.shape[1]
        return so_far + jax.lax.cond(is_real, jax.checkpoint(total), _nothing, *part), None

    flat = (outputs.reshape(-1, outputs.shape[-1]), label.reshape(-1), weight.reshape(-1))
    at_a_time = max(1, LARGEST_LOGITS // vocab.padded)
    if label.size <= at_a_time:
        return total(*flat)
    count = math.ceil(label.size / at_a_time)
    size = math.ceil(label.size / count)
    parts = jax.tree.map(lambda x: _pad(x, count * size).reshape(count, size, *x.shape[1:]), flat)
    begin = size * np.arange(count, dtype=np.int32)
    return jax.lax.scan(one, jnp.zeros(()), (begin, parts))[0]


def _nothing(*_: jax.Array) -> jax.Array:
    return jnp.zeros(())


def _blocks(x: jax.Array, shape: tuple[int, int], grid: tuple[int, int]) -> jax.Array:
    """[rows, steps] in blocks, row by row: [blocks, steps of a block, rows of a block]."""
    x = _pad(_pad(x, grid[0] * shape[0]).T, grid[1] * shape[1])
    x = x.reshape(grid[1], shape[1], grid[0], shape[0])
    return x.transpose(2, 0, 1, 3).reshape(-1, shape[1], shape[0])


def _num_steps(extent: jax.Array, shape: tuple[int, int], grid: tuple[int, int]) -> jax.Array:
    """How many steps of each block have anything real, [blocks] int32."""
    longest = jnp.max(_pad(extent, grid[0] * shape[0]).reshape(grid[0], shape[0]), axis=1)
    begin = shape[1] * np.arange(grid[1], dtype=np.int32)
    return jnp.clip(longest[:, None] - begin[None], 0, shape[1]).reshape(-1)


def _pad(x: jax.Array, size: int) -> jax.Array:
    """`x` with zeros after its first axis, up to `size`."""
    return jnp.pad(x, [(0, size - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
