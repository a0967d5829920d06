"""Transposed convolutions are the transposes of convolutions; decoders have the right shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.families.convolutions import conv_windows
from taskset.networks.activations import Activation
from taskset.networks.conv import conv
from taskset.networks.conv_coders import ConvDecoder, transposed_conv
from taskset.networks.dims import Dim
from taskset.networks.initializers import initializer


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_transposed_convolution_is_the_transpose_of_one(side):
    (window,) = conv_windows(2 * side, [2], ["SAME"])
    weight = jax.random.normal(jax.random.key(0), (3, 3, 4, 3))  # from 4 channels to 3
    x = jax.random.normal(jax.random.key(1), (2, side, side, 4))
    example = jnp.zeros((2, 2 * side, 2 * side, 3))
    forward = lambda y: conv(jnp.swapaxes(weight, 2, 3), y, window)
    (expected,) = jax.linear_transpose(forward, example)(x)
    result = transposed_conv(weight, x)
    assert result.shape == example.shape
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_a_decoder_doubles_the_sides_and_has_no_activation_at_either_end():
    decoder = ConvDecoder(
        inputs=Dim(2),
        first=(3, 3, 4),
        channels=(5, 6),
        outputs=1,
        activation=Activation("relu"),
        initializer=initializer("default", None),
    )
    params = decoder.init(jax.random.key(0))
    shapes = {name: layer["weight"].shape for name, layer in params.items()}
    assert shapes == {
        "dense": (2, 36),
        "conv0": (3, 3, 4, 5),
        "conv1": (3, 3, 5, 6),
        "pixels": (6, 1),
    }
    code = jax.random.normal(jax.random.key(1), (7, 2))
    outputs = decoder.apply(params, code)
    assert outputs.shape == (7, 12, 12, 1)
    params["pixels"] = jax.tree.map(jnp.negative, params["pixels"])
    np.testing.assert_allclose(decoder.apply(params, code), -outputs)
    # Were there a relu behind the dense layer, one of two opposite weights would have no effect.
    for sign in (1.0, -1.0):
        weight = jnp.zeros((2, 36)).at[0, 0].set(sign)
        moved = params | {"dense": {"weight": weight, "bias": jnp.zeros((36,))}}
        assert np.any(decoder.apply(moved, jnp.ones((1, 2))) != 0)
