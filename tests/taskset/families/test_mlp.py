"""The MLP's loss against plain numpy, and what the family refuses."""

import jax
import numpy as np
import pytest

from taskset.data import sources
from taskset.errors import InputError
from taskset.families.mlp import MLPFamily, plain_mlp

NUMPY_ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def numpy_loss(params, batch, activation):
    x = np.asarray(batch["image"], np.float64) / 255
    for index in range(len(params)):
        layer = jax.tree.map(lambda p: np.asarray(p, np.float64), params[f"layer{index}"])
        x = x @ layer["weight"] + layer["bias"]
        if index < len(params) - 1:
            x = activation(x)
    probabilities = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    return -np.log(probabilities[np.arange(len(x)), batch["label"]]).mean()


@pytest.mark.parametrize("activation", NUMPY_ACTIVATIONS)
def test_loss_equals_numpy(activation):
    rng = np.random.RandomState(0)
    batch = {
        "image": rng.randint(0, 256, (6, 8), np.uint8),
        "label": np.arange(6, dtype=np.int32) % 3,
    }
    task = plain_mlp((2, 4, 1), (5, 4), 3, activation)
    start = task.init(jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.1 * rng.randn(*p.shape).astype(np.float32), start)
    expected = numpy_loss(params, batch, NUMPY_ACTIVATIONS[activation])
    got = task.loss(params, jax.tree.map(jax.numpy.asarray, batch), jax.random.key(0))
    np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_start_has_zero_biases_and_weights_of_variance_one_over_inputs():
    params = plain_mlp((20, 20, 1), (100,), 10).init(jax.random.key(0))
    assert not np.any(params["layer0"]["bias"])
    weights = np.asarray(params["layer0"]["weight"])
    standard_error = np.sqrt(2 / weights.size)  # of a variance ratio; truncation makes it less
    assert abs(weights.var() * 400 - 1) < 4 * standard_error


def test_a_large_logit_does_not_overflow():
    task = plain_mlp((1, 2, 1), (), 2)
    params = {
        "layer0": {"weight": 1e4 * np.eye(2, dtype=np.float32), "bias": np.zeros(2, np.float32)}
    }
    batch = {"image": np.asarray([[255, 0]], np.uint8), "label": np.asarray([1], np.int32)}
    loss = task.loss(*jax.tree.map(jax.numpy.asarray, (params, batch)), jax.random.key(0))
    np.testing.assert_allclose(loss, 1e4)


def test_layers_fit_the_data():
    family = MLPFamily(dataset="patches_16x16", hidden=(7, 5))
    params = family.sample(family.load_data(), jax.random.key(0)).init(jax.random.key(0))
    shapes = [layer["weight"].shape for layer in params.values()]
    assert shapes == [(16 * 16 * 3, 7), (7, 5), (5, 8)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "digts"}, "unknown data set 'digts'; did you mean 'digits'?"),
        ({"dataset": "mnist"}, "data set 'mnist' is not embedded; add source=tfds"),
        ({"source": "tdfs"}, "unknown data source 'tdfs'; did you mean 'tfds'?"),
        ({"source": "tfds", "dataset": "../mnist"}, "data set '../mnist' is no name"),
        ({"activation": "rleu"}, "unknown activation 'rleu'; did you mean 'relu'?"),
        ({"hidden": (32, 0)}, "mlp: hidden is (32, 0); widths must be from 1 to 100,000"),
        ({"batch_size": 0}, "mlp: batch_size is 0; it must be at least 1"),
    ],
)
def test_bad_fields_are_refused_in_one_line(fields, message):
    with pytest.raises(InputError) as caught:
        MLPFamily(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_inside_a_traced_function_leaves_nothing_traced_behind():
    sources.load.cache_clear()
    family = MLPFamily(hidden=())
    jax.jit(lambda key: family.load_data().sample("train", key, 2)["label"])(jax.random.key(0))
    leaves = jax.tree.leaves(family.load_data())
    assert not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
