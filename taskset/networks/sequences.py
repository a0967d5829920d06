"""Recurrent cores over sequences that are padded, in rows and in time, at a small cost.

Padding to the sizes of a bucket may be most of a minibatch. So it is cut into blocks of some rows
and some steps, and blocks without anything real are skipped. Which those are may not depend on the
examples: then they would differ between tasks that are trained side by side, and none could be
skipped. It is said by "extent" in a minibatch: how many steps of each row a configuration has.
"""

import abc
import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from taskset.networks.dims import Dim
from taskset.networks.losses import PADDING_LOGIT
from taskset.networks.real_blocks import Blocks, Inputs, scan_real
from taskset.networks.recurrent import Core, State, project

BLOCK_ROWS = 16
STEP_BLOCKS = 4  # blocks that the steps are cut into
LARGEST_LOGITS = 2**22  # numbers that exist at a time


class Block(NamedTuple):
    """What happens to some rows in some steps, leaves [steps, rows]; time comes first."""

    real: jax.Array | None = None  # bool; where it is not, the state stays as it is. None: all is
    label: jax.Array | None = None  # int32
    weight: jax.Array | None = None  # float32, of the label
    num_steps: jax.Array | None = None  # [] int32: later ones are padding. None: none is


@dataclasses.dataclass(frozen=True)
class Reader(abc.ABC):
    """What is made of the outputs of a core. A pytree, of numbers without gradients."""

    nothing: ClassVar[Any]  # what a block reads as that is skipped, numbers

    @abc.abstractmethod
    def read(self, weights: Any, outputs: jax.Array, block: Block) -> Any:
        """A pytree like `nothing`, of arrays, from `outputs` [steps, rows, hidden]."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TokenLosses(Reader):
    """The weighted sum of cross-entropies, in nats, of the dense layer "output" of the weights."""

    nothing: ClassVar[float] = 0.0

    vocab: Dim

    def read(self, weights: Any, outputs: jax.Array, block: Block) -> jax.Array:
        assert block.label is not None
        assert block.weight is not None
        return cross_entropy_sum(
            weights["output"], outputs, block.label, block.weight, self.vocab, block.num_steps
        )


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Recurrence:
    """A core, and what is made of what it looks up and of its outputs; without gradients."""

    core: Core
    reader: Reader
    # Whether tables have what the core makes of its inputs.
    is_projected: bool = dataclasses.field(metadata={"static": True})

    def run(
        self, weights: Any, state: State, looked_up: jax.Array, block: Block
    ) -> tuple[State, Any]:
        """The state after a block, and what is read; `looked_up` is [steps, rows, n]."""
        projected = looked_up if self.is_projected else project(weights["core"], looked_up)
        state, outputs = unroll(self.core, weights["core"], state, projected, block.real)
        return state, self.reader.read(weights, outputs, block)


def read_sequences(
    recurrence: Recurrence,
    weights: Any,
    table: jax.Array,
    start: State,
    tokens: jax.Array,
    sequences: Block,
    extent: jax.Array | None = None,
) -> tuple[Any, jax.Array]:
    """What is read of the outputs of each block, and the last outputs.

    `weights` are `{"core": what its `arrange` gave, ...}`, with what the reader takes; of `table`,
    [entries, n], `tokens`, [rows, steps] int32, are the entries to look up. `start` is the state
    before the first step, leaves [1, hidden]. `sequences` has leaves [rows, steps]. `extent`,
    [rows] int32, is None when nothing is padding. Readings have leaves [row blocks, step blocks,
    ...]; last outputs are [rows, hidden].
    """
    rows, steps = tokens.shape
    if extent is None:
        start = tuple(jnp.broadcast_to(x, (rows, x.shape[1])) for x in start)
        whole = jax.tree.map(lambda x: x.T, sequences)
        state, readings = recurrence.run(weights, start, table[tokens.T], whole)
        return jax.tree.map(lambda x: x[None, None], readings), state[0]

    shape = (BLOCK_ROWS, math.ceil(steps / STEP_BLOCKS))
    grid = (math.ceil(rows / shape[0]), math.ceil(steps / shape[1]))
    num_steps = _num_steps(extent, shape, grid)
    is_real = num_steps.reshape(-1) > 0
    split = lambda x: _blocks(x, shape, grid)
    values = jax.tree.map(split, sequences)._replace(num_steps=num_steps.reshape(-1))
    is_first = np.arange(math.prod(grid)) % grid[1] == 0
    blocks = Blocks(
        (jnp.asarray(is_first), values),
        split(tokens),
        order=jnp.argsort(~is_real).astype(jnp.int32),
        num_real=jnp.sum(is_real, dtype=jnp.int32),
    )
    start = tuple(jnp.broadcast_to(x, (shape[0], x.shape[1])) for x in start)
    inputs = Inputs((weights, start), table, start)
    nothing = (recurrence.reader.nothing, 0.0)
    of_blocks = scan_real(_one_block, nothing, inputs, recurrence, blocks)
    readings, last = jax.tree.map(lambda x: x.reshape(grid + x.shape[1:]), of_blocks)
    last_real = jnp.maximum(jnp.sum(num_steps > 0, axis=1) - 1, 0)
    last = jnp.take_along_axis(last, last_real[:, None, None, None], axis=1)
    return readings, last.reshape(-1, last.shape[-1])[:rows]


def _one_block(
    recurrence: Recurrence,
    params: tuple[Any, State],
    state: State,
    looked_up: jax.Array,
    values: tuple[jax.Array, Block],
) -> tuple[State, Any]:
    """The state after a block; what is read of it, and the outputs of its last step."""
    (weights, start), (is_first, block) = params, values
    state = jax.tree.map(lambda a, b: jnp.where(is_first, a, b), start, state)
    state, readings = recurrence.run(weights, state, looked_up, block)
    return state, (readings, state[0])


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
    """How many steps of each block have anything real, [row blocks, step blocks] int32."""
    longest = jnp.max(_pad(extent, grid[0] * shape[0]).reshape(grid[0], shape[0]), axis=1)
    begin = shape[1] * np.arange(grid[1], dtype=np.int32)
    return jnp.clip(longest[:, None] - begin[None], 0, shape[1])


def _pad(x: jax.Array, size: int) -> jax.Array:
    """`x` with zeros after its first axis, up to `size`."""
    return jnp.pad(x, [(0, size - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
