"""The MLP inside learned optimizers: how it starts, and its layers in both forms."""

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.learned_optimizers.network import dense, dense_sums, init_network

LAYER = {
    "weight": jnp.asarray([[1.0, -1.0], [2.0, 0.0], [0.5, 4.0]]),
    "bias": jnp.asarray([10.0, -10.0]),
}
INPUTS = jnp.asarray([[1.0, 0.0, 2.0, -1.0], [3.0, 1.0, 0.0, 0.0], [2.0, 0.0, -4.0, 1.0]])


def test_a_new_network_has_truncated_normal_weights_and_no_biases():
    network = init_network(jax.random.key(0), (100, 300, 2))
    assert sorted(network) == ["layer0", "layer1"]
    for name, (fan_in, fan_out) in {"layer0": (100, 300), "layer1": (300, 2)}.items():
        assert network[name]["weight"].shape == (fan_in, fan_out)
        np.testing.assert_array_equal(network[name]["bias"], np.zeros(fan_out))
    draws = np.asarray(network["layer0"]["weight"]) * 10.0  # 100 inputs
    assert 1.9 < np.abs(draws).max() <= 2.0
    # Truncated at 2, the standard normal has variance 0.7737 and fourth moment 1.4163.
    num = draws.size
    assert abs(draws.mean()) < 4 * np.sqrt(0.7737 / num)
    assert abs(draws.var() - 0.7737) < 4 * np.sqrt((1.4163 - 0.7737**2) / num)


def test_layers_are_drawn_independently_and_by_key():
    first, other = (init_network(jax.random.key(seed), (3, 3, 3)) for seed in (0, 1))
    assert not np.array_equal(first["layer0"]["weight"], first["layer1"]["weight"])
    assert not np.array_equal(first["layer0"]["weight"], other["layer0"]["weight"])


def test_a_layer_by_hand():
    expected = [[18.0, 12.0, 10.0, 9.5], [-3.0, -10.0, -28.0, -5.0]]
    np.testing.assert_array_equal(dense(LAYER, INPUTS), expected)


def test_sums_of_products_are_the_same_layer_for_inputs_of_any_shape():
    as_squares = [x.reshape(2, 2) for x in INPUTS]
    first, second = dense_sums(LAYER, as_squares)
    np.testing.assert_array_equal(jnp.stack([first.ravel(), second.ravel()]), dense(LAYER, INPUTS))
