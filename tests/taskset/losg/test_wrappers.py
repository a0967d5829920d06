"""Noisy and sparse gradients at the same loss, other units, logarithms, other starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.losg.linear import IsotropicQuadratic
from taskset.losg.log_objective import LogObjective
from taskset.losg.min_max_well import MinMaxWell
from taskset.losg.perturbed_gradient import PerturbedGradient
from taskset.losg.quadratics_in_data import SumOfQuadratics
from taskset.losg.rescale import Rescale
from taskset.losg.starts import FixedStart, NormalStart
from taskset.losg.sum_task import SumTask
from taskset.losg.two_d import TwoDFunction
from taskset.losg.variants import Variants
from taskset.networks.dims import Dim

SIZE, RUNS = 100, 200
BASE = IsotropicQuadratic(Dim(SIZE))
PARAMS = jnp.linspace(1.0, 2.0, SIZE)
KEYS = jax.random.split(jax.random.key(0), RUNS)


def gradients(problem):
    run = jax.jit(jax.vmap(jax.grad(problem.loss), (None, None, 0)))
    return np.asarray(run(PARAMS, None, KEYS))


def test_noise_is_on_the_gradient_and_not_on_the_loss():
    problem = PerturbedGradient(BASE, 3.0)
    loss, gradient = jax.value_and_grad(problem.loss)(PARAMS, None, KEYS[0])
    assert loss == problem.loss(PARAMS, None, KEYS[1]) == BASE.loss(PARAMS, None, KEYS[0])
    np.testing.assert_array_equal(gradient, jax.grad(problem.loss)(PARAMS, None, KEYS[0]))
    noise = (gradients(problem) - 2 * np.asarray(PARAMS)) / 3.0
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / noise.size)  # normal, no other shape
    across = np.corrcoef(noise.T)[np.triu_indices(SIZE, 1)]  # independent entries
    assert abs(across.mean()) < 4 / np.sqrt(RUNS * across.size)


def test_sparse_gradients_keep_their_share_of_entries_and_these_are_noisy():
    problem = PerturbedGradient(BASE, 0.5, 0.9)
    assert problem.loss(PARAMS, None, KEYS[0]) == BASE.loss(PARAMS, None, KEYS[0])
    got = gradients(problem)
    kept = got != 0
    assert abs(kept.mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / kept.size)
    noise = (got - np.broadcast_to(2 * PARAMS, got.shape))[kept] / 0.5
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    assert not np.array_equal(kept[0], kept[1])


def test_sparse_gradients_without_noise_are_exact_where_kept():
    got = gradients(PerturbedGradient(BASE, None, 0.5))
    expected = np.broadcast_to(2 * PARAMS, got.shape)
    np.testing.assert_array_equal(got[got != 0], expected[got != 0])
    assert abs((got != 0).mean() - 0.5) < 4 * np.sqrt(0.25 / got.size)


def test_what_is_perturbed_can_be_differentiated_again_and_forward():
    problem = PerturbedGradient(BASE, 0.5, 0.5)
    loss = lambda params: problem.loss(params, None, KEYS[0])
    gradient = jax.grad(loss)(PARAMS)
    direction = jnp.cos(jnp.arange(SIZE, dtype=jnp.float32))
    value, slope = jax.jvp(loss, (PARAMS,), (direction,))
    np.testing.assert_allclose(value, BASE.loss(PARAMS, None, KEYS[0]), rtol=1e-6)
    np.testing.assert_allclose(slope, jnp.sum(gradient * direction), rtol=1e-4)
    # Of a kept entry, the second derivative is that of the loss, in both of the usual orders.
    expected = jnp.where(gradient != 0, 2 * direction, 0.0)
    np.testing.assert_allclose(jax.jvp(jax.grad(loss), (PARAMS,), (direction,))[1], expected)
    onto = jax.grad(lambda params: jnp.sum(jax.grad(loss)(params) * direction))(PARAMS)
    np.testing.assert_allclose(onto, expected)


def test_a_loss_differentiated_beside_its_own_gradient_is_not_perturbed_twice():
    """As by backpropagation through training, of the sum of the losses that training saw."""
    problem = PerturbedGradient(BASE, 0.5, 0.5)
    seen = lambda params: jax.value_and_grad(problem.loss)(params, None, KEYS[0])[0]
    np.testing.assert_allclose(jax.grad(seen)(PARAMS), 2 * PARAMS, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 7.0])
def test_rescaled_parameters_have_the_losses_they_had(scale):
    problem, key = Rescale(MinMaxWell(Dim(5)), scale), jax.random.key(3)
    own = MinMaxWell(Dim(5)).init(key)
    np.testing.assert_allclose(problem.init(key), scale * own, rtol=1e-6)
    loss, gradient = jax.value_and_grad(problem.loss)(problem.init(key), None, key)
    own_loss, own_gradient = jax.value_and_grad(MinMaxWell(Dim(5)).loss)(own, None, key)
    np.testing.assert_allclose(loss, own_loss, rtol=1e-5)
    np.testing.assert_allclose(gradient, own_gradient / scale, rtol=1e-5)


def test_a_logarithm_has_the_gradient_over_the_loss():
    loss, gradient = jax.value_and_grad(LogObjective(BASE).loss)(PARAMS, None, KEYS[0])
    own = BASE.loss(PARAMS, None, KEYS[0]) + 1e-6
    np.testing.assert_allclose(loss, np.log(own / 1e-6), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * PARAMS / own, rtol=1e-5)
    assert LogObjective(BASE).loss(jnp.zeros(SIZE), None, KEYS[0]) == 0


def test_the_logarithm_of_a_negative_loss_is_floored_or_as_released_no_number():
    negative = SumOfQuadratics(Dim(2), Dim(1))
    params, batch = jnp.ones(2), {"rows": jnp.ones((1, 2))}
    assert negative.loss(params, batch, KEYS[0]) == -2
    assert LogObjective(negative).loss(params, batch, KEYS[0]) == 0
    assert np.isnan(LogObjective(negative, floored=False).loss(params, batch, KEYS[0]))


def test_what_is_not_chosen_changes_nothing_and_has_no_part_in_gradients():
    negative = SumOfQuadratics(Dim(2), Dim(1))
    params, batch = jnp.ones(2), {"rows": jnp.full((1, 2), 2.0)}
    expected = jax.value_and_grad(negative.loss)(params, batch, KEYS[0])
    for floored in (True, False):
        problem = LogObjective(negative, floored, np.bool_(False))
        got = jax.value_and_grad(problem.loss)(params, batch, KEYS[0])
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b)


def test_a_normal_start_replaces_the_own_one_when_chosen():
    ackley, key = TwoDFunction("ackley"), jax.random.key(0)
    starts = jax.vmap(NormalStart(ackley).init)(KEYS)
    assert np.all(np.abs(np.var(starts, axis=0) - 1) < 4 * np.sqrt(2 / RUNS))
    chosen = [NormalStart(ackley, np.bool_(chosen)).init(key) for chosen in (True, False)]
    np.testing.assert_array_equal(chosen[0], NormalStart(ackley).init(key))
    np.testing.assert_array_equal(chosen[1], ackley.init(key))


def test_a_fixed_start_has_nothing_of_the_key():
    problem = FixedStart(TwoDFunction("beale"), 5)
    np.testing.assert_array_equal(*(problem.init(key) for key in KEYS[:2]))


def test_a_variant_is_the_problem_itself_even_where_the_others_overflow():
    names = ("rosenbrock", "ackley", "beale")
    params = jnp.asarray([3e12, -2e11])
    for index, name in enumerate(names):
        problem = Variants(tuple(map(TwoDFunction, names)), np.int32(index))
        for point in (params, jnp.asarray([0.3, 0.4])):
            got = jax.value_and_grad(problem.loss)(point, None, KEYS[0])
            expected = jax.value_and_grad(TwoDFunction(name).loss)(point, None, KEYS[0])
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_allclose(a, b)
        np.testing.assert_array_equal(problem.init(KEYS[0]), TwoDFunction(name).init(KEYS[0]))


def test_a_sum_starts_its_problems_apart():
    problem = SumTask((BASE, BASE))
    params = problem.init(jax.random.key(0))
    assert np.any(params["problem0"] != params["problem1"])
    losses = [BASE.loss(x, None, KEYS[0]) for x in params.values()]
    np.testing.assert_allclose(problem.loss(params, (None, None), KEYS[0]), sum(losses), rtol=1e-6)
