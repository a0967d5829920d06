import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.self_tuning import flax_modules
from metaopt.self_tuning.layers import Draws
from metaopt.self_tuning.responses import Responsive
from taskset.errors import InputError

NUM = 2
X = jax.random.normal(jax.random.key(1), (3, 6, 6, 1))
DRAWS = Draws(jax.random.key(0), NUM)


class Small(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), strides=2, name="conv")(x))
        x = nn.relu(nn.Dense(5)(x.reshape(len(x), -1)))
        return nn.Dense(2, use_bias=False, name="last")(x)


@pytest.fixture(autouse=True)
def rank_promotion():
    with jax.numpy_rank_promotion("allow"):  # flax adds biases so
        yield


@pytest.fixture
def params():
    return flax_modules.init(Small(), DRAWS, X)


def test_without_a_response_it_is_the_module(params):
    assert set(params.response) == {"conv", "Dense_0", "last"}
    found = flax_modules.apply(Small(), Responsive(*params, jnp.zeros(NUM)), X)
    np.testing.assert_array_equal(found, Small().apply({"params": params.elementary}, X))


def test_a_response_is_that_of_weights(params):
    at = jnp.asarray([20.0, -30.0])
    weights = {}
    for name, elementary in params.elementary.items():
        response = params.response[name]
        scale, shift = jnp.split(at @ response["gates"], 2)
        weights[name] = {"kernel": elementary["kernel"] + scale * response["weight"]}
        # Where the module has no bias, the response has one.
        bias = elementary.get("bias", jnp.zeros(len(shift)))
        weights[name]["bias"] = bias + shift * response["bias"]
    bias = weights["last"].pop("bias")
    expected = Small().apply({"params": weights}, X) + bias
    found = flax_modules.apply(Small(), Responsive(*params, at), X)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert float(jnp.max(jnp.abs(found - Small().apply({"params": params.elementary}, X)))) > 0.1


def test_layers_are_chosen_by_name():
    params = flax_modules.init(Small(), DRAWS, X, patterns=["Dense_*", "la*"])
    assert set(params.response) == {"Dense_0", "last"}
    with pytest.raises(InputError, match=r"no Dense or Conv fits 'head/\*'; there are conv, Den"):
        flax_modules.init(Small(), DRAWS, X, patterns=["head/*"])


def test_modules_with_a_state_are_refused():
    class Normalised(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=False)(nn.Dense(3)(x))

    with pytest.raises(InputError, match="has variables batch_stats besides"):
        flax_modules.init(Normalised(), DRAWS, jnp.ones((4, 2)))
