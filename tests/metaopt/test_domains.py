import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.domains import AtLeast, Between, Box, Budget, Positive, Real, Whole
from taskset.errors import InputError

FREE = jnp.asarray([-30.0, -2.0, 0.0, 0.3, 3.0])
INSIDE = [
    (Real(), [-3.0, 0.0, 7.0]),
    (Positive(), [1e-6, 0.1, 40.0]),
    (AtLeast(-1.0), [-0.999, 0.0, 50.0]),
    (Between(-1.0, 3.0), [-0.99, 0.5, 2.9]),
    (Box(-1.0, 3.0), [-1.0, 0.5, 3.0]),
    (Budget(2.0), [0.0, 1.0, 0.9]),
]


@pytest.mark.parametrize(("domain", "values"), INSIDE, ids=[str(d) for d, _ in INSIDE])
def test_free_numbers_stand_for_values_of_the_domain(domain, values):
    values = jnp.asarray(values)
    assert domain.contains(np.asarray(values, np.float64))
    np.testing.assert_allclose(domain.value(domain.free(values)), values, rtol=2e-5, atol=2e-6)
    projected = domain.value(domain.project(FREE))
    assert bool(jnp.all(jnp.isfinite(projected)))
    gradient = jax.grad(lambda free: jnp.sum(domain.value(free)))(domain.free(values))
    assert bool(jnp.all(gradient > 0))


def test_box_projects_onto_its_ends():
    np.testing.assert_allclose(Box(-1.0, 1.0).project(FREE), [-1, -1, 0, 0.3, 1])


@pytest.mark.parametrize("domain", [Positive(), AtLeast(0.0), Between(0.0, 1.0), Box(0.0, 1.0)])
def test_no_outer_step_makes_a_rate_negative(domain):
    far = jnp.asarray([-1e30, -100.0, 0.0, 1e30])
    assert np.all(np.asarray(domain.value(domain.project(far))) >= 0)


def least_distance(point, total):
    """By the conditions of Karush, Kuhn and Tucker: t is where the sum meets the budget."""
    knots = np.sort(np.concatenate([point, point - 1, [0.0]]))
    knots = knots[knots >= 0]
    sums = [np.clip(point - knot, 0, 1).sum() for knot in knots]
    if sums[0] <= total:
        return np.clip(point, 0, 1)
    shift = np.interp(-total, -np.asarray(sums), knots)
    return np.clip(point - shift, 0, 1)


@pytest.mark.parametrize("total", [0.5, 3.0, 7.5, 100.0])
def test_budget_projects_onto_the_nearest_weights(total):
    rng = np.random.RandomState(0)
    with jax.enable_x64(True):
        project = jax.jit(Budget(total).project)
        for _ in range(20):
            point = rng.randn(12) + 0.5
            found = np.asarray(project(jnp.asarray(point)))
            np.testing.assert_allclose(found, least_distance(point, total), atol=1e-14)
            np.testing.assert_allclose(project(jnp.asarray(found)), found, atol=1e-14)
            assert found.sum() <= total * (1 + 1e-14)


@pytest.mark.parametrize("kind", [Between, Box])
def test_an_empty_interval_is_refused(kind):
    with pytest.raises(InputError, match=r"low is 1\.0 and high 1.0; both must be finite"):
        kind(1.0, 1.0)


def test_an_empty_budget_is_refused():
    with pytest.raises(InputError, match=r"total is 0\.0; it must be positive"):
        Budget(0.0)


def test_whole_numbers():
    whole = Whole(-1, 3)
    inside = jnp.asarray([-1.0, 0.0, 2.0, 3.0])
    np.testing.assert_array_equal(whole.value(whole.free(inside)), inside)
    np.testing.assert_array_equal(whole.value(jnp.asarray([-100.0, 0.0, 100.0])), [-1, 1, 3])
    # Each has a fifth of the sigmoid.
    found = whole.value(jax.scipy.special.logit((jnp.arange(1000.0) + 0.5) / 1000))
    assert np.unique(found, return_counts=True)[1].tolist() == [200] * 5
    assert not whole.contains(np.asarray(0.5)) and not whole.contains(np.asarray(4.0))
