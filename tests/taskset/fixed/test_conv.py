"""The fixed tasks of convolutions: their sizes, and what their names say."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.families.image_inputs import ImageSpec
from taskset.fixed import conv, conv_ae, conv_vae
from taskset.fixed.conv_vae import ConvVAE
from taskset.named import NamedFamily

NAMES = [*conv.TASKS, *conv_ae.TASKS, *conv_vae.TASKS]


def shapes_of(name, **options):
    start = NamedFamily(name, **options).spec.template.init
    return jax.eval_shape(start, jax.random.key(0))


def num_parameters(name, **options):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(name, **options)))


def convs(inputs, *channels):
    sizes = zip((inputs, *channels), channels, strict=False)
    return sum((9 * below + 1) * above for below, above in sizes)


def dense(*widths):
    return sum((below + 1) * above for below, above in itertools.pairwise(widths))


def test_there_are_as_many_as_were_released():
    assert [len(module.TASKS) for module in (conv, conv_ae, conv_vae)] == [23, 5, 7]


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_a_scalar_at_the_batch_size_of_the_task(name):
    family = NamedFamily(name)
    spec = family.spec
    assert isinstance(spec.data, ImageSpec)
    num_features = spec.data.data.info().num_features
    image = jax.ShapeDtypeStruct((family.batch_size, num_features), jnp.uint8)
    batch = {"image": image, "label": jax.ShapeDtypeStruct((family.batch_size,), jnp.int32)}
    loss = jax.eval_shape(spec.template.loss, shapes_of(name), batch, jax.random.key(0))
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    assert NamedFamily(name, buckets="padded").spec.template == spec.template


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FixedImageConv_cifar10_32x64x64_bs128", convs(3, 32, 64, 64) + dense(64, 10)),
        (
            "FixedImageConv_sun39732x32_bn_32x64x128x128_bs128",
            convs(3, 32, 64, 128, 128) + dense(128, 397),
        ),
        (
            "FixedImageConv_food10164x64_Conv_32x64x64_flatten_bs64",
            convs(3, 32, 64, 64) + dense(32 * 32 * 64, 101),
        ),
        (
            "Mnist_Conv_32x16x64_flatten_FC32_tanh_bs32",
            convs(1, 32, 16, 64) + dense(14 * 14 * 64, 32, 10),
        ),
        (
            "FixedImageConvAE_mnist_32x64x32x64x32_bs512",
            convs(1, 32, 64)
            + dense(7 * 7 * 64, 32)
            + dense(32, 7 * 7 * 32)
            + convs(32, 64, 64)
            + dense(64, 1),
        ),
        (
            "FixedImageConvVAE_cifar10_64x128x256x128x256x128x64_bs128",
            convs(3, 64, 128, 256)
            + dense(4 * 4 * 256, 256)
            + dense(128, 4 * 4 * 32)
            + convs(32, 256, 128, 64)
            + dense(64, 6),
        ),
    ],
)
def test_number_of_parameters(name, expected):
    assert num_parameters(name) == expected


def test_released_convolutions_have_biases_before_their_normalisation_too():
    name = "FixedImageConv_cifar10_batchnorm_32x64x64_bs128"
    first = shapes_of(name)["convolutions"]["conv0"]
    released = shapes_of(name, fidelity="released")["convolutions"]["conv0"]
    assert set(first) == {"weight", "offset"}
    assert set(released) == {"weight", "offset", "bias"}


def test_the_variance_of_weights_is_what_the_name_says():
    for name, variance in (
        ("FixedImageConv_cifar10_32x64x128_normal_bs64", 0.02**2),
        ("FixedImageConv_cifar10_32x64x128_largenormal_bs64", 0.2**2),
        # A normal distribution of variance 1.3 * 2 / inputs, cut at two standard deviations.
        (
            "FixedImageConv_cifar100_32x64x128_FC64x32_tanh_variance_scaling_bs64",
            1.3 * 2 / (9 * 64) * 0.7737413,
        ),
    ):
        params = NamedFamily(name).spec.template.init(jax.random.key(0))
        weight = np.asarray(params["convolutions"]["conv2"]["weight"])
        standard_error = np.sqrt(2 / weight.size)  # of a variance ratio; truncation makes it less
        assert abs(np.mean(weight**2) / variance - 1) < 4 * standard_error
        assert not np.any(params["convolutions"]["conv2"]["bias"])


def test_pixels_of_centred_images_are_twice_as_far_apart():
    name = "FixedImageConvVAE_mnist_32x32x32x32x32_bs128"
    for task, step in (
        (NamedFamily(name).spec.template, 2 / 255),
        (NamedFamily(name, fidelity="released").spec.template, 1 / 255),
    ):
        assert isinstance(task, ConvVAE)
        np.testing.assert_allclose(task.step, step, rtol=1e-6)
