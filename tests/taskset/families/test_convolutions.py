"""The families of convolutional classifiers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from padding import assert_padding_is_exact

from taskset.configs import InfeasibleTask
from taskset.families.conv_fc import ConvFC
from taskset.families.conv_pooling import POOLS, ConvPooling
from taskset.families.convolutions import conv_windows
from taskset.named import NamedFamily
from taskset.networks.activations import Activation
from taskset.networks.choices import Choice
from taskset.networks.conv import ConvLayer, ConvStack
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.networks.initializers import initializer

pytestmark = pytest.mark.usefixtures("standard_promotion")

IMAGE = (6, 6, 1)
WEIGHTS = initializer("he_normal", None)


def num_parameters(name):
    start = jax.eval_shape(NamedFamily(name).spec.template.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(start))


def test_number_of_parameters():
    # Channels 12 and 34, then 59, 53 and 33 units; 32 pixels, halved once.
    convolutions = (27 + 1) * 12 + (9 * 12 + 1) * 34
    dense = (16 * 16 * 34 + 1) * 59 + (59 + 1) * 53 + (53 + 1) * 33 + (33 + 1) * 100
    assert num_parameters("conv_fc_family_seed998") == convolutions + dense
    # One layer of 56 channels without bias, on colour images; 101 classes.
    assert num_parameters("conv_pooling_family_seed2") == 27 * 56 + (56 + 1) * 101


def batch_of(num):
    rng = np.random.RandomState(0)
    image = rng.randint(0, 256, (num, 36), np.uint8)
    return {"image": jnp.asarray(image), "label": jnp.arange(num, dtype=jnp.int32) % 3}


def stack():
    windows = conv_windows(6, [1, 2], ["VALID", "SAME"])
    layers = tuple(ConvLayer(window, Dim(4)) for window in windows)
    return ConvStack(1, layers, Activation("tanh"), WEIGHTS)


def numpy_features(params, batch):
    """The output of `stack`, by TensorFlow's rules, in float64."""
    x = np.asarray(batch["image"], np.float64).reshape(-1, *IMAGE) / 255
    for name, stride, zeros in (("conv0", 1, (0, 0)), ("conv1", 2, (0, 1))):
        own = jax.tree.map(lambda p: np.asarray(p, np.float64), params["convolutions"][name])
        x = np.pad(x, ((0, 0), zeros, zeros, (0, 0)))
        side = (x.shape[1] - 3) // stride + 1
        last = (side - 1) * stride + 1
        x = own["bias"] + sum(
            x[:, i : i + last : stride, j : j + last : stride] @ own["weight"][i, j]
            for i in range(3)
            for j in range(3)
        )
        x = np.tanh(x)
    return x


def numpy_cross_entropy(logits, label):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(probabilities[np.arange(len(logits)), label]).mean()


def perturbed_start(task):
    rng = np.random.RandomState(1)
    start = task.init(jax.random.key(0))
    return jax.tree.map(lambda p: p + 0.1 * rng.randn(*p.shape).astype(np.float32), start)


NUMPY_POOLS = {
    "mean": lambda x: x.mean((1, 2)),
    "max": lambda x: x.max((1, 2)),
    "squared_mean": lambda x: (x**2).mean((1, 2)),
}


@pytest.mark.parametrize("pool", POOLS)
def test_the_loss_of_pools_equals_numpy(pool):
    images = ImageInput(IMAGE, Dim(6), Dim(6))
    head = MLP(Dim(4), (), Dim(3), Activation("tanh"), WEIGHTS)
    task = ConvPooling(images, stack(), head, Dim(5), Choice((pool,)))
    params, batch = perturbed_start(task), batch_of(5)
    last = jax.tree.map(lambda p: np.asarray(p, np.float64), params["head"]["layer0"])
    logits = NUMPY_POOLS[pool](numpy_features(params, batch)) @ last["weight"] + last["bias"]
    expected = numpy_cross_entropy(logits, batch["label"])
    np.testing.assert_allclose(task.loss(params, batch, jax.random.key(0)), expected, rtol=2e-6)


def test_the_loss_of_dense_layers_equals_numpy():
    images = ImageInput(IMAGE, Dim(6), Dim(6))
    head = MLP(Dim(16), (Dim(5),), Dim(3), Activation("tanh"), WEIGHTS)
    task = ConvFC(images, stack(), head, Dim(5))
    params, batch = perturbed_start(task), batch_of(5)
    first, last = (
        jax.tree.map(lambda p: np.asarray(p, np.float64), params["head"][name])
        for name in ("layer0", "layer1")
    )
    flat = numpy_features(params, batch).reshape(5, -1)
    hidden = np.tanh(flat @ first["weight"] + first["bias"])
    expected = numpy_cross_entropy(hidden @ last["weight"] + last["bias"], batch["label"])
    np.testing.assert_allclose(task.loss(params, batch, jax.random.key(0)), expected, rtol=2e-6)


def test_padding_is_exact():
    # Three of five convolutions, two of three dense layers.
    assert_padding_is_exact("conv_fc_family_seed3")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "conv_pooling_family_seed0",  # all five convolutions
        "conv_pooling_family_seed4",  # max pool
        "conv_pooling_family_seed2",  # one convolution without bias, 122 examples
        "conv_pooling_family_seed17",  # orthogonal weights
        "conv_fc_family_seed11",  # cropped, coloured
        "conv_fc_family_seed1",  # no hidden dense layer
        "conv_fc_family_seed2",
    ],
)
def test_padding_is_exact_for_more(name):
    assert_padding_is_exact(name)


def test_configurations_of_a_bucket_share_a_program():
    # Two, four and five layers; relu, swish and elu; all pools; 10 to 397 classes.
    names = [f"conv_pooling_family_seed{seed}" for seed in (1, 30, 59)]
    families = [NamedFamily(name, buckets="padded") for name in names]
    assert len({family.program() for family in families}) == 1
    assert len({NamedFamily(name).program() for name in names}) == len(names)


def test_a_stack_that_shrinks_to_nothing_is_refused():
    with pytest.raises(InfeasibleTask, match="choose another seed"):
        NamedFamily("conv_fc_family_seed25")


@pytest.mark.parametrize("name", ["conv_pooling_family_seed79", "conv_fc_family_seed3"])
def test_adam_lowers_the_loss(name):
    family = NamedFamily(name)
    data, optimizer = family.load_data(), optax.adam(1e-2)
    task = family.sample(data, jax.random.key(0))
    params = task.init(jax.random.key(0))

    def step(state, key):
        params, opt_state = state
        batch = data.sample("train", key, family.batch_size)
        loss, grads = jax.value_and_grad(task.loss)(params, batch, key)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    start = (params, optimizer.init(params))
    _, losses = jax.jit(lambda keys: jax.lax.scan(step, start, keys))(
        jax.random.split(jax.random.key(1), 100)
    )
    assert np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])
