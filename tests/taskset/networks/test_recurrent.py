"""Recurrent cores against plain numpy in float64, and what their parameters start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks.activations import Activation
from taskset.networks.dims import Dim
from taskset.networks.initializers import initializer
from taskset.networks.recurrent import GRUCore, InitialState, LSTMCore, VanillaCore, project
from taskset.networks.sequences import unroll

INPUTS, HIDDEN, ROWS, STEPS = 3, 5, 4, 6
GLOROT = initializer("glorot_uniform", None)
DEFAULT = initializer("default", None)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_vanilla(p, state, x):
    (h,) = state
    return (
        np.tanh(
            x @ p["in_to_hidden"] + p["in_bias"] + h @ p["hidden_to_hidden"] + p["hidden_bias"]
        ),
    )


def numpy_gru(p, state, x):
    (h,) = state
    z = sigmoid(x @ p["wz"] + h @ p["uz"] + p["bz"])
    r = sigmoid(x @ p["wr"] + h @ p["ur"] + p["br"])
    candidate = np.tanh(x @ p["wh"] + (r * h) @ p["uh"] + p["bh"])
    return ((1 - z) * h + z * candidate,)


def numpy_lstm(p, state, x):
    h, c = state
    gates = (x @ p["input"] + h @ p["hidden"] + p["bias"]).reshape(len(x), -1, 4)
    i, j, f, o = (gates[:, :, gate] for gate in range(4))
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
    return np.tanh(c) * sigmoid(o), c


def cores(inputs, hidden):
    return {
        "vanilla": (
            VanillaCore(inputs, hidden, Activation("tanh"), DEFAULT, DEFAULT),
            numpy_vanilla,
        ),
        "gru": (GRUCore(inputs, hidden, (GLOROT,) * 3, (GLOROT,) * 3), numpy_gru),
        "lstm": (LSTMCore(inputs, hidden, DEFAULT), numpy_lstm),
    }


KINDS = tuple(cores(Dim(INPUTS), Dim(HIDDEN)))


def perturbed(params, rng):
    return jax.tree.map(lambda p: p + 0.3 * rng.randn(*p.shape).astype(np.float32), params)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unroll_equals_numpy(kind):
    core, numpy_step = cores(Dim(INPUTS), Dim(HIDDEN))[kind]
    rng = np.random.RandomState(0)
    params = perturbed(core.init(jax.random.key(0)), rng)
    inputs = rng.randn(STEPS, ROWS, INPUTS).astype(np.float32)
    start = tuple(rng.randn(ROWS, HIDDEN).astype(np.float32) for _ in range(core.num_states))
    weights = core.arrange(params)
    state, outputs = unroll(core, weights, start, project(weights, jnp.asarray(inputs)), None)

    exact = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    expected = tuple(x.astype(np.float64) for x in start)
    for step in range(STEPS):
        expected = numpy_step(exact, expected, inputs[step].astype(np.float64))
        np.testing.assert_allclose(outputs[step], expected[0], rtol=1e-5, atol=1e-6)
    assert len(state) == len(expected) == core.num_states
    for a, b in zip(state, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_are_not_real_change_nothing(kind):
    core, _ = cores(Dim(INPUTS), Dim(HIDDEN))[kind]
    weights = core.arrange(core.init(jax.random.key(0)))
    projected = project(weights, jax.random.normal(jax.random.key(1), (STEPS, 2, INPUTS)))
    start = InitialState().of({}, core)
    start = tuple(jnp.broadcast_to(x, (2, HIDDEN)) for x in start)
    real = np.arange(STEPS)[:, None] < np.asarray([STEPS, 2])[None]
    state, outputs = unroll(core, weights, start, projected, jnp.asarray(real))
    _, all_outputs = unroll(core, weights, start, projected, None)
    np.testing.assert_allclose(outputs[:, 0], all_outputs[:, 0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(outputs[:2, 1], all_outputs[:2, 1], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(outputs[2:, 1], np.tile(outputs[1, 1], (STEPS - 2, 1)))
    np.testing.assert_array_equal(state[0][1], outputs[-1, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_change_the_start(kind):
    padded_inputs, padded_hidden = Dim(8, np.int32(INPUTS)), Dim(16, np.int32(HIDDEN))
    exact, padded = (
        cores(*dims)[kind][0].init(jax.random.key(5))
        for dims in ((Dim(INPUTS), Dim(HIDDEN)), (padded_inputs, padded_hidden))
    )
    for name, array in exact.items():
        part = padded[name][tuple(map(slice, array.shape))]
        np.testing.assert_allclose(part, array, rtol=1e-6)
        assert np.sum(padded[name] != 0) == np.sum(array != 0)


def test_gru_biases_are_uniform_up_to_the_root_of_three_over_the_width():
    hidden = 400
    params = GRUCore(Dim(2), Dim(hidden), (GLOROT,) * 3, (GLOROT,) * 3).init(jax.random.key(0))
    biases = np.concatenate([params["bz"], params["br"], params["bh"]]) / np.sqrt(3 / hidden)
    assert 0.99 < np.max(np.abs(biases)) <= 1
    standard_error = np.sqrt(
        (1 / 5 - 1 / 9) / biases.size
    )  # of the mean square of a uniform number
    assert abs(np.mean(biases**2) - 1 / 3) < 4 * standard_error


def test_lstm_weights_and_biases_are_normal_cut_at_twice_one_over_the_root_of_all_inputs():
    inputs, hidden = 30, 120
    params = LSTMCore(Dim(inputs), Dim(hidden), DEFAULT).init(jax.random.key(0))
    assert {name: p.shape for name, p in params.items()} == {
        "input": (inputs, 4 * hidden),
        "hidden": (hidden, 4 * hidden),
        "bias": (4 * hidden,),
    }
    for array in params.values():
        scaled = np.asarray(array).reshape(-1) * np.sqrt(inputs + hidden)
        assert np.max(np.abs(scaled)) <= 2.0001
        standard_error = 1.2 / np.sqrt(scaled.size)  # fourth moment 1.42, variance .774
        assert abs(np.mean(scaled**2) - 0.7737) < 4 * standard_error


def test_orthogonal_lstm_weights_are_so_with_inputs_and_state_below_each_other():
    core = LSTMCore(Dim(4), Dim(3), initializer("orthogonal", 2.0))
    params = core.init(jax.random.key(0))
    kernel = np.concatenate([params["input"], params["hidden"]])
    np.testing.assert_allclose(kernel @ kernel.T, 4 * np.eye(7), atol=1e-5)


@pytest.mark.parametrize("name", ["orthogonal", "he_normal"])
def test_orthogonality_as_an_input_gives_the_same_weights(name):
    fixed = initializer(name, None)
    dims = Dim(4), Dim(6)
    np.testing.assert_allclose(
        fixed.either()(jax.random.key(0), *dims), fixed(jax.random.key(0), *dims), rtol=1e-6
    )
    structures = {jax.tree.structure(initializer(n, None).either()) for n in ("orthogonal", name)}
    assert len(structures) == 1


def test_a_learned_initial_state_starts_at_zero_and_can_be_switched_off():
    core, _ = cores(Dim(INPUTS), Dim(HIDDEN))["lstm"]
    assert InitialState().init(core) == {}
    params = InitialState(True).init(core)
    assert {name: p.shape for name, p in params.items()} == {
        "initial0": (HIDDEN,),
        "initial1": (HIDDEN,),
    }
    assert not any(np.any(p) for p in params.values())
    ones = jax.tree.map(jnp.ones_like, params)
    for used in (0.0, 1.0):
        state = InitialState(True, np.float32(used)).of(ones, core)
        np.testing.assert_array_equal(state, np.full((2, 1, HIDDEN), used))
