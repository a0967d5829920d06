"""Convolutions against plain numpy in float64, and on a canvas against those of the real size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.families.convolutions import conv_windows
from taskset.networks.activations import Activation
from taskset.networks.branches import in_chunks
from taskset.networks.choices import Choice
from taskset.networks.conv import BATCH_NORM_EPSILON, ConvLayer, ConvStack, conv
from taskset.networks.dims import Dim
from taskset.networks.initializers import initializer


def numpy_conv(weight, x, stride, padding):
    """TensorFlow's convolution, window by window."""
    side = x.shape[1]
    if padding == "SAME":
        total = max((-(-side // stride) - 1) * stride + 3 - side, 0)
        before = total // 2
        x = np.pad(x, ((0, 0), (before, total - before), (before, total - before), (0, 0)))
    outputs = (x.shape[1] - 3) // stride + 1
    result = np.zeros((x.shape[0], outputs, outputs, weight.shape[-1]))
    for row in range(outputs):
        for column in range(outputs):
            top, left = row * stride, column * stride
            window = x[:, top : top + 3, left : left + 3]
            result[:, row, column] = np.einsum("brsi,rsio->bo", window, weight)
    return result


CASES = [
    (side, stride, padding)
    for side in (1, 2, 3, 4, 7, 8)
    for stride in (1, 2)
    for padding in ("SAME", "VALID")
    if padding == "SAME" or side >= 3
]


@pytest.mark.parametrize(("side", "stride", "padding"), CASES)
def test_convolutions_are_those_of_tensorflow_on_any_canvas(side, stride, padding):
    rng = np.random.RandomState(side)
    x, weight = rng.randn(2, side, side, 3), rng.randn(3, 3, 3, 4)
    expected = numpy_conv(weight, x, stride, padding)
    (window,) = conv_windows(side, [stride], [padding])
    x, weight = jnp.asarray(x, jnp.float32), jnp.asarray(weight, jnp.float32)
    np.testing.assert_allclose(conv(weight, x, window), expected, rtol=1e-5, atol=1e-5)

    canvas, size = 8, window.outputs.padded
    padded = dataclasses.replace(
        window,
        zeros=1,
        outputs=Dim(-(-canvas // stride), np.int32(size)),
        skipped=np.int32(1 - window.zeros),
    )
    missing = canvas - side
    x = jnp.pad(x, ((0, 0), (0, missing), (0, missing), (0, 0)))
    result = padded.clear(conv(weight, x, padded))
    assert result.shape[1] == -(-canvas // stride)
    np.testing.assert_allclose(result[:, :size, :size], expected, rtol=1e-5, atol=1e-5)
    assert not np.any(result[:, size:])
    assert not np.any(result[:, :, size:])


def small_stack(depth=None, activation="tanh", **fields):
    windows = conv_windows(6, [1, 2, 1], ["SAME", "VALID", "SAME"])
    layers = tuple(ConvLayer(window, Dim(3)) for window in windows)
    weights = initializer("he_normal", None)
    return ConvStack(2, layers, Activation(activation), weights, depth=depth, **fields)


def pooled(x, layer):
    return jnp.sum(x, axis=(1, 2)) / layer.window.outputs.count**2


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_first_layers_alone_are_a_stack_of_that_depth(depth):
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (4, 6, 6, 2))
    whole = small_stack(depth=np.int32(depth))
    part = dataclasses.replace(small_stack(), layers=whole.layers[:depth])
    params = whole.init(key)
    expected = part.apply(part.init(key), x, pooled)
    np.testing.assert_allclose(whole.apply(params, x, pooled), expected, rtol=1e-6)


def test_tasks_side_by_side_have_depths_and_batches_of_their_own():
    x = jax.random.normal(jax.random.key(1), (40, 6, 6, 2))
    params = small_stack(depth=np.int32(3)).init(jax.random.key(0))

    def features(depth, params, x):
        return small_stack(depth).apply(params, x, pooled)

    def loss(params, depth, rows):
        batch = Dim(40, rows)
        return jnp.sum(batch.mean(in_chunks(features, depth, params, x, batch)) ** 2)

    settings = jnp.asarray([[1, 40], [2, 3], [3, 20]], jnp.int32)
    grad = jax.jit(jax.grad(loss))
    together = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))(params, *settings.T)
    for index, (depth, rows) in enumerate(settings):
        for a, b in zip(
            jax.tree.leaves(together), jax.tree.leaves(grad(params, depth, rows)), strict=True
        ):
            np.testing.assert_allclose(a[index], b, rtol=1e-5, atol=1e-7)


def test_normalisation_is_by_the_batch_and_adds_an_offset():
    stack = small_stack(normalized=True, biases=Choice(("none",)), activation="tanh")
    stack = dataclasses.replace(stack, layers=stack.layers[:1])
    params = stack.init(jax.random.key(0))
    assert set(params["conv0"]) == {"weight", "offset"}
    params["conv0"]["offset"] = jnp.asarray([0.5, -1.0, 0.0])
    x = np.random.RandomState(0).randn(5, 6, 6, 2)
    weight = np.asarray(params["conv0"]["weight"], np.float64)
    product = numpy_conv(weight, x, 1, "SAME")
    deviation = np.sqrt(product.var((0, 1, 2)) + BATCH_NORM_EPSILON)
    expected = np.tanh((product - product.mean((0, 1, 2))) / deviation + [0.5, -1.0, 0.0])
    got = stack.apply(params, jnp.asarray(x, jnp.float32), pooled)
    np.testing.assert_allclose(got, expected.mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_weights_have_the_variance_of_their_own_fan_in():
    stack = small_stack(activation="relu")
    wide = tuple(ConvLayer(layer.window, Dim(48)) for layer in stack.layers)
    params = dataclasses.replace(stack, layers=wide).init(jax.random.key(0))
    for name, inputs in (("conv0", 2), ("conv1", 48), ("conv2", 48)):
        weight = np.asarray(params[name]["weight"])
        assert weight.shape == (3, 3, inputs, 48)
        assert not np.any(params[name]["bias"])
        standard_error = np.sqrt(2 / weight.size)  # of a variance ratio; truncation makes it less
        assert abs(weight.var() * 9 * inputs / 2 - 1) < 4 * standard_error
