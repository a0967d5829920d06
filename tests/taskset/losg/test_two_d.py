"""The known minima of the test functions, and where they start."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.losg.two_d import FUNCTIONS, TwoDFunction, bowl

RIDGE = 2.185311961840168  # argmax of sin(x) * sin(x**2 / pi)**10
MINIMA = {  # where, and the least value to 5 digits
    "StyblinskiTang": ([(-2.903534, -2.903534)], 80 - 2 * 39.166166),
    "ackley": ([(0.0, 0.0)], 0.0),
    "beale": ([(3.0, 0.5)], 0.0),
    "booth": ([(1.0, 3.0)], 0.0),
    "branin": ([(-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)], 0.397887),
    "logsumexp": ([(-math.log(2) / 2, 0.0)], math.log(2 * math.sqrt(2) * math.exp(-0.1) + 1)),
    "matyas": ([(0.0, 0.0)], 0.0),
    "michalewicz": ([(RIDGE, math.pi / 2)], 0.193377),
    "rosenbrock": ([(1.0, 1.0)], 0.0),
}


def value(name, point):
    return TwoDFunction(name).loss(jnp.asarray(point, jnp.float32), None, jax.random.key(0))


@pytest.mark.parametrize("name", MINIMA)
def test_the_known_minima_have_the_known_value_and_no_gradient(name):
    points, least = MINIMA[name]
    with jax.enable_x64(True):
        for point in points:
            where = jnp.asarray(point, jnp.float64)
            loss = lambda x: TwoDFunction(name).loss(x, None, jax.random.key(0))
            np.testing.assert_allclose(loss(where), least, rtol=1e-4, atol=1e-9)
            if name != "ackley":  # which has a tip there
                np.testing.assert_allclose(jax.grad(loss)(where), 0.0, atol=5e-4)


@pytest.mark.parametrize("name", MINIMA)
def test_nothing_in_the_region_is_below_the_least_value(name):
    (low, high) = FUNCTIONS[name].region or ((-5, -5), (5, 5))
    axes = [np.linspace(*ends, 400, dtype=np.float32) for ends in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    values = jax.vmap(lambda point: value(name, point))(points)
    least = MINIMA[name][1]
    assert np.min(values) >= least - 1e-4 * max(1.0, abs(least))


def test_a_saddle_is_stationary_but_no_minimum():
    gradient = jax.grad(lambda point: TwoDFunction("saddle").loss(point, None, jax.random.key(0)))
    np.testing.assert_array_equal(gradient(jnp.zeros(2)), 0.0)
    assert value("saddle", (0.0, 1.0)) < value("saddle", (0.0, 0.0)) < value("saddle", (1.0, 0.0))


def test_a_bowl_has_the_curvatures_and_axes_asked_for():
    hessian = jax.hessian(lambda x: bowl(9.0, math.pi / 3).loss(x, None, jax.random.key(0)))
    values, axes = np.linalg.eigh(hessian(jnp.zeros(2)))
    np.testing.assert_allclose(values, [1.0, 9.0], rtol=1e-5)
    steep = axes[:, 1] * np.sign(axes[0, 1])
    np.testing.assert_allclose(steep, [math.cos(math.pi / 3), -math.sin(math.pi / 3)], atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_starts_fill_the_region(name):
    starts = np.asarray(jax.vmap(TwoDFunction(name).init)(jax.random.split(jax.random.key(0), 400)))
    region = FUNCTIONS[name].region
    if region is None:
        assert np.all(np.abs(starts.var(axis=0) - 1) < 4 * np.sqrt(2 / 400))
        return
    low, high = np.asarray(region)
    share = (starts - low) / (high - low)
    assert np.all((share >= 0) & (share <= 1))
    assert np.all(np.abs(share.mean(axis=0) - 0.5) < 4 * np.sqrt(1 / 12 / 400))
    assert np.all(np.abs(share.var(axis=0) - 1 / 12) < 4 * np.sqrt(1 / 180 / 400))
