"""The families of autoencoders and densities on images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from padding import assert_padding_is_exact

from taskset.families.densities import NOISE, FlowDensity
from taskset.families.mlp_ae import MLPAutoencoder
from taskset.named import NamedFamily
from taskset.networks.activations import Activation
from taskset.networks.choices import Choice
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.networks.initializers import draw_normal, initializer

pytestmark = pytest.mark.usefixtures("standard_promotion")


def num_parameters(name, **options):
    family = NamedFamily(name, **options)
    start = jax.eval_shape(family.spec.template.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(start))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # One hidden layer of 39 units between 32 * 32 * 3 pixels.
        ("mlp_ae_family_seed999", (3072 + 1) * 39 + (39 + 1) * 3072),
        # A linear encoder to 2 * 39 units; a decoder of 38 and 78 units to twice the pixels.
        (
            "mlp_vae_family_seed999",
            (3072 + 1) * 78 + (39 + 1) * 38 + (38 + 1) * 78 + (78 + 1) * 6144,
        ),
        ("nvp_family_seed999", 4 * ((1536 + 1) * 92 + (92 + 1) * 123 + (123 + 1) * 3072)),
        ("maf_family_seed999", 2 * ((768 + 1) * 70 + (70 + 1) * 41 + (41 + 1) * 1536)),
    ],
)
def test_number_of_parameters(name, expected):
    assert num_parameters(name) == expected
    assert num_parameters(name, buckets="padded") >= expected


@pytest.mark.parametrize(
    "name",
    [
        "mlp_ae_family_seed335",  # cropped by 2, coloured
        "mlp_vae_family_seed340",  # an encoder without hidden layers, cropped
        "nvp_family_seed199",  # three of four bijectors, cropped
        "maf_family_seed237",  # one of two bijectors, cropped
    ],
)
def test_padding_is_exact(name):
    assert_padding_is_exact(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "mlp_ae_family_seed386",  # with orthogonal weights, as the last
        "mlp_vae_family_seed21",
        "nvp_family_seed97",
    ],
)
def test_padding_is_exact_for_more(name):
    assert_padding_is_exact(name)


@pytest.mark.parametrize(
    "name",
    ["mlp_ae_family_seed358", "mlp_vae_family_seed367", "nvp_family_seed115", "maf_family_seed232"],
)
def test_adam_lowers_the_loss(name):
    family = NamedFamily(name)
    optimizer = optax.adam(1e-3)

    @jax.jit
    def losses_of(data, key):
        task = family.sample(data, key)
        start = task.init(key)

        def step(state, key):
            params, optimizer_state = state
            batch = data.sample("train", key, 8)
            loss, grads = jax.value_and_grad(task.loss)(params, batch, key)
            updates, optimizer_state = optimizer.update(grads, optimizer_state)
            return (optax.apply_updates(params, updates), optimizer_state), loss

        keys = jax.random.split(key, 60)
        return jax.lax.scan(step, (start, optimizer.init(start)), keys)[1]

    losses = np.asarray(losses_of(family.load_data(), jax.random.key(0)))
    assert np.all(np.isfinite(losses))
    assert np.median(losses[-10:]) < losses[:5].min()


NUMPY_SQUASHINGS = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize(
    ("squashing", "distance", "reduction"),
    [
        ("linear", "l2", "reduce_sum"),
        ("tanh", "l1", "reduce_mean"),
        ("sigmoid", "l2", "reduce_mean"),
    ],
)
def test_autoencoder_equals_numpy(squashing, distance, reduction):
    features = Dim(6)
    network = MLP(features, (Dim(4),), features, Activation("relu"), initializer("default", None))
    images = ImageInput((2, 3, 1), Dim(2), Dim(3), np.float32(2), np.float32(-1))
    choices = (Choice((name,)) for name in (squashing, distance, reduction))
    task = MLPAutoencoder(images, network, Dim(5), *choices)
    params = task.init(jax.random.key(0))
    image = np.random.RandomState(0).randint(0, 256, (5, 6), np.uint8)
    got = task.loss(params, {"image": jnp.asarray(image)}, jax.random.key(0))
    pixels = image / 255 * 2 - 1
    hidden = np.maximum(pixels @ np.asarray(params["layer0"]["weight"], np.float64), 0)
    outputs = NUMPY_SQUASHINGS[squashing](hidden @ np.asarray(params["layer1"]["weight"]))
    errors = (outputs - pixels) ** 2 if distance == "l2" else np.abs(outputs - pixels)
    expected = errors.sum(1).mean() if reduction == "reduce_sum" else errors.mean()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_released_maf_starts_as_the_normal_density_of_noisy_pixels():
    family = NamedFamily("maf_family_seed126", fidelity="released")
    task, key = family.spec.template, jax.random.key(0)
    assert isinstance(task, FlowDensity)
    image = np.random.RandomState(0).randint(0, 256, (3, 768), np.uint8)
    noisy = image / 255 + NOISE * np.asarray(draw_normal(key, image.shape), np.float64)
    expected = 0.5 * np.mean(np.sum(noisy**2, 1)) + 384 * np.log(2 * np.pi)
    got = task.loss(task.init(key), {"image": jnp.asarray(image)}, key)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_released_log_scales_of_nvp_have_no_limits():
    bounds = [
        NamedFamily("nvp_family_seed115", fidelity=fidelity).spec.template.flow.bijector.bound
        for fidelity in ("intended", "released")
    ]
    assert bounds == [True, False]
