"""The fixed tasks of dense networks: classifiers, autoencoders and densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.fixed import maf, mlp, mlp_ae, mlp_vae, nvp
from taskset.fixed.mlp import RegularizedMLP
from taskset.networks.activations import Activation
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.networks.initializers import initializer
from taskset.options import Options

TASKS = mlp.TASKS | mlp_ae.TASKS | mlp_vae.TASKS | maf.TASKS | nvp.TASKS

# By hand from the sizes in the names, weights and biases.
NUM_PARAMETERS = {
    "FixedMLP_cifar10_mse_128x128x128_relu_bs128": 3073 * 128 + 2 * 129 * 128 + 129 * 10,
    "FixedMLP_food10132x32_ce_128x128x128_relu_bs128": 3073 * 128 + 2 * 129 * 128 + 129 * 101,
    "FixedMLP_cifar10_Dropout05_128x128_relu_bs128": 3073 * 128 + 129 * 128 + 129 * 10,
    "FixedMLP_cifar10_LayerNorm_128x128x128_tanh_bs128": 3073 * 128
    + 2 * 129 * 128
    + 129 * 10
    + 6 * 128,
    "FixedMLP_cifar10_BatchNorm_64x64x64x64x64_relu_bs128": 3073 * 64
    + 4 * 65 * 64
    + 65 * 10
    + 5 * 64,
    "FixedMLPAE_mnist_128x32x128_bs128": 785 * 128 + 129 * 32 + 33 * 128 + 129 * 784,
    "FixedMLPVAE_mnist_128x64x32x64x128_bs64": 785 * 128
    + 129 * 64
    + 65 * 64
    + 33 * 64
    + 65 * 128
    + 129 * 1568,
    "FixedNVP_mnist_9layer_thin_bs16": 9 * (393 * 128 + 129 * 128 + 129 * 784),
    "FixedMAF_cifar10_3layer_bs64": 3 * (3073 * 1024 + 1025 * 1024 + 1025 * 6144),
}


def test_there_are_as_many_as_were_released():
    modules = (mlp, mlp_ae, mlp_vae, maf, nvp)
    assert [len(module.TASKS) for module in modules] == [13, 3, 7, 3, 5]


@pytest.mark.parametrize("fidelity", ["intended", "released"])
@pytest.mark.parametrize("name", TASKS)
def test_losses_are_scalars_for_the_batch_of_the_name(name, fidelity):
    spec = TASKS[name](Options(fidelity=fidelity))
    key = jax.random.key(0)
    start = jax.eval_shape(spec.template.init, key)
    batch = jax.eval_shape(lambda: spec.data.load().sample("train", key, spec.batch_size))
    loss = jax.eval_shape(spec.template.loss, start, batch, key)
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    in_name = int(name.rpartition("bs")[2])
    assert spec.batch_size == (64 if name == "FixedNVP_mnist_9layer_thin_bs16" else in_name)
    if name in NUM_PARAMETERS:
        assert sum(leaf.size for leaf in jax.tree.leaves(start)) == NUM_PARAMETERS[name]


def small(**fields):
    values = {
        "images": ImageInput((2, 3, 1), Dim(2), Dim(3)),
        "hidden": (Dim(5),),
        "classes": Dim(3),
        "activation": Activation("tanh"),
        "initializer": initializer("default", None),
        "keep_probability": None,
        "normalization": "none",
        "loss_type": "squared_error",
    }
    return RegularizedMLP(**(values | fields))


BATCH = {
    "image": np.random.RandomState(0).randint(0, 256, (8, 6), np.uint8),
    "label": np.arange(8, dtype=np.int32) % 3,
}


def moved_start(task):
    rng = np.random.RandomState(1)
    shift = lambda x: x + 0.1 * rng.randn(*x.shape).astype(np.float32)
    return jax.tree.map(shift, task.init(jax.random.key(0)))


def numpy_normalized(normalization, layer, x):
    if normalization == "initial":
        return x / np.sqrt(1.001) + layer["offset"]
    axis, epsilon = (1, 1e-5) if normalization == "layer" else (0, 1e-3)
    variance = x.var(axis=axis, keepdims=True)
    normal = (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(variance + epsilon)
    return normal * layer.get("scale", 1.0) + layer["offset"]


@pytest.mark.parametrize("normalization", ["none", "layer", "batch", "initial"])
@pytest.mark.parametrize("loss_type", ["squared_error", "cross_entropy"])
def test_normalised_networks_equal_numpy(normalization, loss_type):
    task = small(normalization=normalization, loss_type=loss_type)
    params = moved_start(task)
    got = task.loss(params, jax.tree.map(jnp.asarray, BATCH), jax.random.key(0))
    first, last = (
        jax.tree.map(lambda p: np.asarray(p, np.float64), params[name])
        for name in ("layer0", "layer1")
    )
    x = BATCH["image"] / 255 @ first["weight"] + first["bias"]
    x = x if normalization == "none" else numpy_normalized(normalization, first, x)
    logits = np.tanh(x) @ last["weight"] + last["bias"]
    if loss_type == "squared_error":
        expected = np.mean((np.eye(3)[BATCH["label"]] - 1 / (1 + np.exp(-logits))) ** 2)
    else:
        log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        expected = -log_probs[np.arange(8), BATCH["label"]].mean()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_dropout_keeps_its_share_at_the_same_mean():
    task = small(keep_probability=np.float32(0.2))
    x = jnp.ones((400, 50))
    dropped = np.asarray(task._dropped(jax.random.key(0), x))
    np.testing.assert_allclose(np.unique(dropped), [0.0, 5.0])
    standard_error = np.sqrt(0.2 * 0.8 / x.size)
    assert abs(np.mean(dropped > 0) - 0.2) < 4 * standard_error


def test_dropout_differs_between_keys():
    task = small(keep_probability=np.float32(0.5))
    params, batch = moved_start(task), jax.tree.map(jnp.asarray, BATCH)
    losses = {float(task.loss(params, batch, jax.random.key(seed))) for seed in range(3)}
    assert len(losses) == 3


def test_fidelity_decides_the_statistics_of_batch_normalisation_and_the_step_of_pixels():
    batch_norm = TASKS["FixedMLP_cifar10_BatchNorm_128x128x128_relu_bs128"]
    vae = TASKS["FixedMLPVAE_mnist_128x8x128x128_bs128"]
    intended, released = Options(), Options(fidelity="released")
    assert batch_norm(intended).template.normalization == "batch"
    assert batch_norm(released).template.normalization == "initial"
    np.testing.assert_allclose(vae(intended).template.step, 2 / 255)
    np.testing.assert_allclose(vae(released).template.step, 1 / 255)
