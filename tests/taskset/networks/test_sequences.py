"""Blocks that are skipped against whole sequences, and the loss over tokens against numpy."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks import sequences
from taskset.networks.dims import Dim
from taskset.networks.initializers import initializer
from taskset.networks.recurrent import LSTMCore, project
from taskset.networks.sequences import (
    Block,
    Reader,
    Recurrence,
    cross_entropy_sum,
    read_sequences,
)

ROWS, STEPS, INPUTS, HIDDEN = 7, 10, 3, 4
CORE = LSTMCore(Dim(INPUTS), Dim(HIDDEN), initializer("default", None))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Squares(Reader):
    nothing: ClassVar[float] = 0.0

    def read(self, weights, outputs, block):
        return jnp.sum(jnp.where(block.real[:, :, None], outputs**2, 0.0))


def total_and_last(params, table, tokens, real, extent, is_projected=False):
    weights = CORE.arrange(params)
    if is_projected:
        table = project(weights, table)
    start = (jnp.full((1, HIDDEN), 0.5), jnp.full((1, HIDDEN), -0.5))
    recurrence = Recurrence(CORE, Squares(), is_projected)
    weights = {"core": weights}
    readings, last = read_sequences(
        recurrence, weights, table, start, tokens, Block(real=real), extent
    )
    return jnp.sum(readings), last


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(sequences, "BLOCK_ROWS", 2)


@pytest.mark.parametrize(("real_rows", "real_steps"), [(7, 10), (3, 4), (1, 1), (5, 9)])
def test_blocks_give_the_sums_states_and_gradients_of_the_real_part(
    small_blocks, real_rows, real_steps
):
    params = CORE.init(jax.random.key(0))
    table = jax.random.normal(jax.random.key(1), (6, INPUTS))
    tokens = jax.random.randint(jax.random.key(2), (ROWS, STEPS), 0, 6)
    extent = jnp.where(jnp.arange(ROWS) < real_rows, real_steps, 0)
    real = jnp.arange(STEPS)[None] < extent[:, None]
    part = tokens[:real_rows, :real_steps]
    all_real = jnp.ones(part.shape, bool)

    value = lambda *args: total_and_last(*args)[0]
    run = jax.jit(jax.value_and_grad(value, (0, 1)))
    got = run(params, table, tokens, real, extent)
    expected = run(params, table, part, all_real, None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)
    last = total_and_last(params, table, tokens, real, extent)[1]
    assert last.shape == (ROWS, HIDDEN)
    expected_last = total_and_last(params, table, part, all_real, None)[1]
    np.testing.assert_allclose(last[:real_rows], expected_last, rtol=1e-5, atol=1e-6)


def test_skipped_blocks_are_not_computed_in_many_runs_side_by_side(small_blocks):
    """What they would read is not a number, and does not come out, nor into the gradient."""
    params = jax.vmap(CORE.init)(jax.random.split(jax.random.key(0), 2))
    table = jnp.ones((2, INPUTS)).at[1].set(jnp.nan)
    tokens = jnp.ones((ROWS, STEPS), jnp.int32).at[:2, :3].set(0)
    tokens = jnp.stack([tokens, tokens])
    extent = jnp.where(jnp.arange(ROWS) < 2, 3, 0)
    real = jnp.ones((ROWS, STEPS), bool)  # so that only skipping can help

    @jax.jit
    def run(params, tokens, extent):
        total = lambda params: total_and_last(params, table, tokens, real, extent)[0]
        return jax.value_and_grad(total)(params)

    totals, grads = jax.vmap(run, (0, 0, None))(params, tokens, extent)
    assert totals.shape == (2,)
    assert np.all(np.isfinite(totals))
    assert np.all(totals > 0)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))


def test_blocks_can_be_differentiated_twice(small_blocks):
    params = CORE.init(jax.random.key(0))
    table = jax.random.normal(jax.random.key(1), (6, INPUTS))
    tokens = jax.random.randint(jax.random.key(2), (3, 6), 0, 6)

    @jax.jit
    def curvature(extent):
        real = jnp.ones((3, 6), bool)
        grad = jax.grad(lambda p: total_and_last(p, table, tokens, real, extent)[0])
        return jax.grad(lambda p: sum(jnp.sum(g**2) for g in jax.tree.leaves(grad(p))))(params)

    expected, got = curvature(None), curvature(jnp.full((3,), 6))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, expected)


@pytest.mark.parametrize("largest_logits", [2**22, 12])  # all tokens at once, and 2 at a time
def test_the_sum_of_cross_entropies_equals_numpy(monkeypatch, largest_logits):
    monkeypatch.setattr(sequences, "LARGEST_LOGITS", largest_logits)
    rng = np.random.RandomState(0)
    vocab, padded = 5, 6
    outputs = rng.randn(3, 3, HIDDEN)
    params = {"weight": rng.randn(HIDDEN, padded), "bias": rng.randn(padded)}
    label, weight = rng.randint(0, vocab, (3, 3)), rng.rand(3, 3)
    weight[0, 0] = 0

    logits = (outputs @ params["weight"] + params["bias"])[:, :, :vocab]
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(weight * np.take_along_axis(log_probabilities, label[..., None], -1)[..., 0]).sum()

    single = lambda x: jnp.asarray(x, jnp.float32)
    args = jax.tree.map(single, params), single(outputs), jnp.asarray(label), single(weight)
    dim = Dim(padded, np.int32(vocab))
    total, grads = jax.value_and_grad(cross_entropy_sum)(*args, dim)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert not np.any(grads["weight"][:, vocab:])
    one_hot = np.eye(vocab)[label]
    delta = weight[..., None] * (np.exp(log_probabilities) - one_hot)
    np.testing.assert_allclose(grads["bias"][:vocab], delta.sum((0, 1)), rtol=1e-4, atol=1e-5)


def test_steps_of_padding_are_not_in_the_sum_nor_computed(monkeypatch):
    monkeypatch.setattr(sequences, "LARGEST_LOGITS", 10)  # two tokens, the rows of a step
    params = {"weight": jnp.ones((HIDDEN, 5)), "bias": jnp.arange(5.0)}
    outputs = jnp.ones((4, 2, HIDDEN)).at[3:].set(jnp.nan)
    label, weight = jnp.zeros((4, 2), jnp.int32), jnp.ones((4, 2))
    value = jax.jit(jax.value_and_grad(cross_entropy_sum), static_argnames="vocab")
    total, grads = value(params, outputs, label, weight, vocab=Dim(5), num_steps=jnp.int32(3))
    np.testing.assert_allclose(total, 6 * np.log(np.exp(np.arange(5)).sum()), rtol=1e-6)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))
