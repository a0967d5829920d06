import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.self_tuning import layers
from metaopt.self_tuning.layers import Draws, LSTMState
from metaopt.self_tuning.responses import BestResponse, Responsive

NUM = 3
KEY, KEY_X, KEY_AT = jax.random.split(jax.random.key(0), 3)
DRAWS = Draws(KEY, NUM)
AT = jax.random.normal(KEY_AT, (NUM,))


def wide_gates(params):
    """Gates as large as weights, so that a mistake in them shows."""
    gates = lambda path, x: 50 * x if path[-1] == jax.tree_util.DictKey("gates") else x
    return params._replace(response=jax.tree_util.tree_map_with_path(gates, params.response))


def materialised(params, at):
    """The layer that `params` are at `at`, by the formula for weights, in numpy."""
    elementary, response = jax.tree.map(np.asarray, tuple(params))
    scale, shift = np.split(np.asarray(at) @ response["gates"], 2)
    weight = elementary["weight"] + scale * response["weight"]
    return weight, elementary["bias"] + shift * response["bias"]


def at(params, position=AT):
    return Responsive(params.elementary, params.response, position)


def test_dense_is_that_of_its_weights():
    params = wide_gates(layers.init_dense(DRAWS, 4, 5))
    x = jax.random.normal(KEY_X, (6, 4))
    weight, bias = materialised(params, AT)
    expected = np.asarray(x) @ weight + bias
    np.testing.assert_allclose(layers.dense(at(params), x), expected, rtol=1e-4, atol=1e-5)
    mask = jnp.asarray(np.arange(20).reshape(4, 5) % 2, jnp.float32)
    expected = np.asarray(x) @ (weight * np.asarray(mask)) + bias
    np.testing.assert_allclose(layers.dense(at(params), x, mask), expected, rtol=1e-4, atol=1e-5)


def test_conv_is_that_of_its_weights():
    params = wide_gates(layers.init_conv(DRAWS, (3, 3), 2, 4))
    x = jax.random.normal(KEY_X, (2, 5, 5, 2))
    weight, bias = materialised(params, AT)
    plain = {"weight": jnp.asarray(weight), "bias": jnp.asarray(bias)}
    expected = layers.conv(at(params._replace(elementary=plain), jnp.zeros(NUM)), x, (2, 2))
    assert expected.shape == (2, 3, 3, 4)
    found = layers.conv(at(params), x, (2, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    middle = np.asarray(x)[0, 1:4, 1:4]  # what the output in the middle is of, by hand
    by_hand = np.einsum("hwi,hwio->o", middle, weight) + bias
    np.testing.assert_allclose(found[0, 1, 1], by_hand, rtol=1e-4, atol=1e-5)


def test_embedding():
    params = wide_gates(layers.init_embedding(DRAWS, 7, 4))
    table = np.asarray(params.elementary["table"])
    gate = np.asarray(AT @ params.response["gates"])
    expected = table + gate * np.asarray(params.response["table"])
    words = jnp.asarray([[1, 6], [0, 1]])
    found = layers.embed(at(params), words)
    np.testing.assert_allclose(found, expected[np.asarray(words)], rtol=1e-5)


def test_lstm_by_its_equations():
    params = wide_gates(layers.init_lstm(DRAWS, 2, 3))
    state = LSTMState(*jax.random.normal(KEY, (2, 4, 3)))
    x = jax.random.normal(KEY_X, (4, 2))
    sums = np.zeros((4, 12))
    for name, input in (("input", x), ("hidden", state.hidden)):
        layer = BestResponse(params.elementary[name], params.response[name])
        weight, bias = materialised(layer, AT)
        sums += np.asarray(input) @ weight + bias
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    forget, enter, leave, candidate = np.split(sums, 4, axis=1)
    cell = sigmoid(forget) * np.asarray(state.cell) + sigmoid(enter) * np.tanh(candidate)
    after = layers.lstm_step(at(params), state, x)
    np.testing.assert_allclose(after.cell, cell, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.hidden, sigmoid(leave) * np.tanh(cell), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("centred", [False, True])
def test_no_response_is_the_plain_layer(centred):
    """At position zero always; centred, the gates begin as zeros, too."""
    params = layers.init_dense(DRAWS._replace(centred=centred), 4, 5)
    x = jax.random.normal(KEY_X, (6, 4))
    plain = x @ params.elementary["weight"] + params.elementary["bias"][None]
    position = AT if centred else jnp.zeros(NUM)
    np.testing.assert_array_equal(layers.dense(at(params, position), x), plain)


def test_each_example_has_a_position_of_its_own():
    params = wide_gates(layers.init_dense(DRAWS, 4, 5))
    positions = jax.random.normal(KEY_AT, (6, NUM))
    x = jax.random.normal(KEY_X, (6, 4))
    found = jax.vmap(lambda position, x: layers.dense(at(params, position), x))(positions, x)
    for row, position, example in zip(found, positions, x):
        weight, bias = materialised(params, position)
        np.testing.assert_allclose(row, example @ weight + bias, rtol=1e-4, atol=1e-5)
