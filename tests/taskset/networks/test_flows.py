"""Flows are densities: they integrate to 1, invert, and their masks hold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks.activations import Activation
from taskset.networks.coupling import coupling
from taskset.networks.dims import Dim
from taskset.networks.flows import Flow, permutation, permute
from taskset.networks.initializers import initializer
from taskset.networks.made import autoregressive

BIJECTORS = {
    "nvp": coupling,
    "nvp unbounded": lambda *args: coupling(*args, bound=False),
    "maf": autoregressive,
    "maf in blocks": lambda *args: autoregressive(*args, degrees="blocks"),
}


def flow_of(kind, num_features, num_bijectors=3, hidden=(8, 5), activation="tanh"):
    features = Dim(num_features)
    bijector = BIJECTORS[kind](
        features, tuple(map(Dim, hidden)), Activation(activation), initializer("default", None)
    )
    orders = tuple(permutation(index, features) for index in range(num_bijectors - 1))
    return Flow(features, bijector, orders)


def moved(flow, size=0.3):
    """Parameters away from the start, so that biases matter too."""
    params = flow.init(jax.random.key(0))
    rng = np.random.RandomState(0)
    shift = lambda x: x + size * rng.randn(*x.shape).astype(np.float32)
    return jax.tree.map(shift, params)


@pytest.mark.parametrize("kind", BIJECTORS)
def test_a_density_of_two_features_integrates_to_one(kind):
    flow = flow_of(kind, num_features=2)
    # Spread as the samples are; what is farther than twelve deviations from their mean is nothing.
    params = moved(flow)
    samples = flow.generate(params, jax.random.normal(jax.random.key(1), (2000, 2)))
    center, reach = np.mean(samples, 0), 12 * np.std(samples, 0)
    axes = [np.linspace(c - r, c + r, 1201) for c, r in zip(center, reach, strict=True)]
    points = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2).astype(np.float32)
    density = np.exp(np.asarray(jax.jit(flow.log_prob)(params, points), np.float64))
    area = math.prod(axis[1] - axis[0] for axis in axes)
    np.testing.assert_allclose(density.sum() * area, 1.0, rtol=0.01)
    assert density.max() * area < 0.01  # the grid resolves it


@pytest.mark.parametrize("kind", BIJECTORS)
@pytest.mark.parametrize("num_features", [2, 7])
def test_generate_and_normalize_invert_each_other(kind, num_features):
    flow = flow_of(kind, num_features)
    params = moved(flow)
    noise = jax.random.normal(jax.random.key(1), (5, num_features))
    data = jax.jit(flow.generate)(params, noise)
    assert np.max(np.abs(data - noise)) > 0.1
    np.testing.assert_allclose(flow.normalize(params, data)[0], noise, atol=1e-4)
    back = flow.generate(params, flow.normalize(params, noise)[0])
    np.testing.assert_allclose(back, noise, atol=1e-4)


@pytest.mark.parametrize("kind", BIJECTORS)
@pytest.mark.parametrize("num_bijectors", [1, 3])
def test_log_determinant_is_that_of_the_jacobian(kind, num_bijectors):
    flow = flow_of(kind, 7, num_bijectors)
    params, data = moved(flow), jax.random.normal(jax.random.key(1), (7,))
    jacobian = jax.jacfwd(lambda x: flow.normalize(params, x[None])[0][0])(data)
    _, log_det = flow.normalize(params, data[None])
    sign, expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))
    assert sign != 0
    np.testing.assert_allclose(log_det[0], expected, atol=1e-5)


@pytest.mark.parametrize("hidden", [(2,), (3, 2), (12, 9)])
@pytest.mark.parametrize("kind", ["maf", "maf in blocks"])
def test_a_feature_depends_on_earlier_ones_only(kind, hidden):
    flow = flow_of(kind, 6, 1, hidden)
    params, data = moved(flow), jax.random.normal(jax.random.key(1), (6,))
    normalize = lambda x: flow.bijector.normalize(params["bijector0"], x[None])[0][0]
    jacobian = np.asarray(jax.jacrev(normalize)(data))
    assert not np.any(np.triu(jacobian, 1))
    below = jacobian[np.tril_indices(6, -1)]
    if min(hidden) >= 6:
        assert np.all(below)  # each on all earlier ones
    elif kind == "maf":
        assert np.any(below)
    else:
        assert not np.any(below)  # too narrow for blocks: nothing depends on anything


def test_degenerate_masks_start_at_the_identity_and_move_output_biases_only():
    flow = flow_of("maf in blocks", 6, 2, (5, 4))
    params, data = flow.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (3, 6))
    expected = -0.5 * np.sum(np.square(data), 1) - 3 * np.log(2 * np.pi)
    np.testing.assert_allclose(flow.log_prob(params, data), expected, rtol=1e-6)
    grads = jax.grad(lambda p: jnp.mean(flow.log_prob(p, data)))(moved(flow))
    for bijector in grads.values():
        assert np.all(bijector["layer2"].pop("bias"))
        assert not any(np.any(grad) for grad in jax.tree.leaves(bijector))


def test_nvp_equals_numpy():
    flow = flow_of("nvp", 5, 2)
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), moved(flow))
    data = np.random.RandomState(2).randn(3, 5)
    x, log_det = data, np.zeros(3)
    for index in (1, 0):
        layers = params[f"bijector{index}"]
        hidden = x[:, :2]
        for name in ("layer0", "layer1"):
            hidden = np.tanh(hidden @ layers[name]["weight"] + layers[name]["bias"])
        outputs = hidden @ layers["layer2"]["weight"] + layers["layer2"]["bias"]
        shift, log_scale = outputs[:, :3], np.clip(outputs[:, 3:], -5, 3)
        x = np.concatenate([x[:, :2], (x[:, 2:] - shift) / np.exp(log_scale)], 1)
        log_det = log_det - log_scale.sum(1)
        if index == 1:
            before = np.empty_like(x)
            before[:, np.random.RandomState(0).permutation(5)] = x
            x = before
    expected = log_det - 0.5 * (x**2).sum(1) - 2.5 * np.log(2 * np.pi)
    got = flow.log_prob(moved(flow), jnp.asarray(data, jnp.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_permutation_has_the_derivatives_of_indexing():
    order, inverse = permutation(0, Dim(6))
    x, direction = jnp.asarray(np.random.RandomState(0).randn(2, 3, 6), jnp.float32)
    for function in (lambda x: permute(x, order, inverse), lambda x: x[:, order]):
        value, tangent = jax.jvp(function, (x,), (direction,))
        np.testing.assert_array_equal(value, x[:, order])
        np.testing.assert_array_equal(tangent, direction[:, order])
        (gradient,) = jax.vjp(function, x)[1](direction)
        np.testing.assert_array_equal(gradient, direction[:, inverse])


def test_padding_stays_in_its_place():
    order, inverse = permutation(1, Dim(6, np.int32(4)))
    np.testing.assert_array_equal(order[:4], np.random.RandomState(1).permutation(4))
    np.testing.assert_array_equal(order[4:], [4, 5])
    np.testing.assert_array_equal(order[inverse], np.arange(6))
