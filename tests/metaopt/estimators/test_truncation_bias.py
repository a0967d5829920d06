"""Published demonstrations of truncation bias, and of its cure, to the printed figures."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest
from toys import InfluenceBalancing, ToyRegression

from metaopt.estimators import (
    FullES,
    NoiseReuseES,
    PersistentES,
    TruncatedBackprop,
    TruncatedES,
    runs,
)
from metaopt.horizons import Fixed
from taskset.base import NoData

ENDLESS = Fixed(10**8)  # no run ends within the test


@functools.partial(jax.jit, static_argnames=("estimator", "optimizer", "num_steps"))
def train(estimator, optimizer, num_steps, theta, key):
    tx = getattr(optax, optimizer[0])(**dict(optimizer[1:]))

    def outer_step(carry, key):
        theta, opt_state, state = carry
        estimate, state = estimator.estimate(theta, state, NoData(), key)
        updates, opt_state = tx.update(estimate.gradient, opt_state, theta)
        return (optax.apply_updates(theta, updates), opt_state, state), None

    key_init, key_steps = jax.random.split(key)
    start = (theta, tx.init(theta), estimator.init(theta, NoData(), key_init))
    (theta, _, _), _ = jax.lax.scan(outer_step, start, jax.random.split(key_steps, num_steps))
    return theta


# Influence balancing (R1): 3,000 steps of SGD from theta = 0.5; the optimum is -1/6.
def influence_balancing(estimator, seed):
    sgd = ("sgd", ("learning_rate", 1e-4))
    return float(train(estimator, sgd, 3000, jnp.float32(0.5), jax.random.key(seed)))


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_persistent_es_balances_influence(seed):
    estimator = PersistentES(InfluenceBalancing(), 500, 1, ENDLESS, stddev=0.1)
    theta = influence_balancing(estimator, seed)
    assert theta == pytest.approx(-1 / 6, abs=1e-4)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_noise_reuse_balances_influence_with_a_tenth_of_the_pairs(seed):
    estimator = NoiseReuseES(InfluenceBalancing(), 50, 1, ENDLESS, stddev=0.1)
    assert influence_balancing(estimator, seed) == pytest.approx(-1 / 6, abs=1e-4)


def test_backprop_through_ten_steps_diverges():
    theta = influence_balancing(TruncatedBackprop(InfluenceBalancing(), 1, 10, ENDLESS), 3)
    assert not abs(theta) < 100


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (TruncatedBackprop(InfluenceBalancing(), 1, 1, ENDLESS), 3.26),
        (TruncatedES(InfluenceBalancing(), 500, 1, ENDLESS, stddev=0.1), 3.25),
    ],
    ids=["backprop", "es"],
)
def test_short_truncations_go_the_wrong_way(estimator, expected):
    assert influence_balancing(estimator, 3) == pytest.approx(expected, abs=0.03)


def test_backprop_needs_truncations_beyond_the_change_of_sign():
    """With a per-step loss, 100 steps still point away from -1/6 and 200 do not."""
    problem, theta = InfluenceBalancing(), jnp.float32(0.5)
    unroll = jax.jit(runs.unroll, static_argnums=(0, 5))
    at_rest, _ = unroll(problem, theta, jnp.ones(23), NoData(), jax.random.key(0), 300)

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(truncation):
        estimator = TruncatedBackprop(problem, 1, truncation, ENDLESS)
        run = estimator.init(theta, NoData(), jax.random.key(0))._replace(state=at_rest[None])
        return estimator.estimate(theta, run, NoData(), jax.random.key(1))[0].gradient

    assert all(gradient(truncation) < 0 for truncation in (1, 10, 100))  # descent raises theta
    assert gradient(200) > 0


# The 2-D regression toy (R3): 20,000 steps of Adam from (-4, -4).
ADAM = ("adam", ("learning_rate", 1e-2), ("b1", 0.99), ("b2", 0.99))


@jax.jit
def toy_loss(theta):
    """The sum over the run of the unperturbed meta-loss."""
    whole = TruncatedBackprop(ToyRegression(), 1, 100, Fixed(100))
    estimate, _ = whole.estimate(
        theta, whole.init(theta, NoData(), jax.random.key(0)), NoData(), jax.random.key(0)
    )
    return 100.0 * estimate.meta_loss


def test_start_and_minimum_of_the_regression_toy():
    assert toy_loss(jnp.full(2, -4.0)) == pytest.approx(2487.8, abs=0.1)

    def total(theta):
        start = ToyRegression().init(theta, NoData(), jax.random.key(0))
        return runs.unroll(ToyRegression(), theta, start, NoData(), jax.random.key(0), 100)[1].sum()

    first, second = jnp.meshgrid(jnp.linspace(2.4, 3.2, 161), jnp.linspace(-3.2, -1.6, 161))
    losses = jax.jit(jax.vmap(jax.vmap(total)))(jnp.stack([first, second], axis=-1))
    assert 552 < float(losses.min()) < 556.5  # 556.5 on a coarser grid


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize(
    ("kind", "stddev", "low", "high"),
    [
        (PersistentES, 0.3, 556, 600),
        (NoiseReuseES, 0.3, 556, 600),
        (TruncatedES, 1.0, 1200, 2000),
        (TruncatedBackprop, None, 2000, 2487),
    ],
)
def test_only_persistent_noise_crosses_the_ridge(kind, stddev, low, high, seed):
    arguments = {} if stddev is None else {"stddev": stddev}
    estimator = kind(ToyRegression(), 50, 10, Fixed(100), **arguments)
    with jax.numpy_dtype_promotion("standard"):  # optax takes float ** int
        theta = train(estimator, ADAM, 20_000, jnp.full(2, -4.0), jax.random.key(seed))
    assert low < toy_loss(theta) < high


# R12: with 1e-6, 1e-4 and 0.01 it ends before the ridge, at 2423 as backprop does; beyond it, at
# 559 and 560, with 0.1 and 0.3. Small perturbations fail here because they do not smooth the ridge.
@pytest.mark.slow
@pytest.mark.parametrize(("stddev", "low", "high"), [(0.01, 2400, 2487), (0.1, 556, 600)])
def test_small_perturbations_do_not_smooth_the_ridge(stddev, low, high):
    estimator = PersistentES(ToyRegression(), 50, 10, Fixed(100), stddev=stddev)
    with jax.numpy_dtype_promotion("standard"):
        theta = train(estimator, ADAM, 20_000, jnp.full(2, -4.0), jax.random.key(3))
    assert low < toy_loss(theta) < high


@functools.partial(jax.jit, static_argnames=("estimator", "staleness", "lockstep"))
def last_loss_of_stale_training(estimator, staleness, key, lockstep):
    """The mean loss at the end, with gradients of `staleness` outer steps ago."""
    tx = optax.adam(1e-2, b1=0.99)
    num_steps, num_last = 20_000, 200  # of the last 2,000 steps, every tenth

    def outer_step(carry, key):
        past, opt_state, state = carry  # past [staleness + 1, 2], the oldest first
        estimate, state = estimator.estimate(past[0], state, NoData(), key)
        updates, opt_state = tx.update(estimate.gradient, opt_state, past[-1])
        theta = optax.apply_updates(past[-1], updates)
        return (jnp.concatenate([past[1:], theta[None]]), opt_state, state), theta

    key_init, key_steps = jax.random.split(key)
    theta = jnp.full(2, -4.0)
    past = jnp.broadcast_to(theta, (staleness + 1, 2))
    state = estimator.init(theta, NoData(), key_init)
    if lockstep:
        state = state._replace(age=jnp.zeros_like(state.age))
    start = (past, tx.init(theta), state)
    _, thetas = jax.lax.scan(outer_step, start, jax.random.split(key_steps, num_steps))
    return jnp.mean(jax.vmap(toy_loss)(thetas[-10 * num_last :: 10]))


# R9: a little staleness is free, much of it destroys. The published figures, 565 for 5 outer steps,
# 581 to 585 for 50 and 1721 for 200, are of runs that all start together.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("staleness", "lockstep", "low", "high"),
    [(5, True, 556, 575), (50, True, 572, 592), (50, False, 600, 800), (200, True, 1000, 2400)],
)
def test_staleness(staleness, lockstep, low, high):
    estimator = PersistentES(ToyRegression(), 50, 10, Fixed(100), stddev=0.3)
    with jax.numpy_dtype_promotion("standard"):
        loss = last_loss_of_stale_training(estimator, staleness, jax.random.key(3), lockstep)
    assert low < loss < high


@pytest.mark.parametrize("kind", ["PersistentES", "FullES"])
def test_unbiased_against_the_full_gradient(kind):
    """Within 4 standard errors of the gradient of the smoothed meta-loss, on a nonlinear problem.

    The reference is backpropagation through whole runs at perturbed meta-parameters.
    """
    problem, theta, stddev, num = ToyRegression(20), jnp.asarray([-1.0, -2.0]), 0.1, 20_000
    key_noise, key_es = jax.random.split(jax.random.key(0))
    smoothed = theta[None] + stddev * jax.random.normal(key_noise, (num, 2))
    whole = TruncatedBackprop(problem, 1, 20, Fixed(20))
    at = lambda theta: (
        whole.estimate(theta, whole.init(theta, NoData(), key_es), NoData(), key_es)[0].gradient
    )
    reference = jax.jit(jax.vmap(at))(smoothed)

    def one_run(key):
        if kind == "FullES":
            estimator = FullES(problem, 1, Fixed(20), stddev=stddev)
            return estimator.estimate(theta, (), NoData(), key)[0].gradient
        estimator = PersistentES(problem, 1, 5, Fixed(20), stddev=stddev)
        state = estimator.init(theta, NoData(), key)
        state = state._replace(age=jnp.zeros_like(state.age))
        total = jnp.zeros(2)
        for k in jax.random.split(key, 4):
            estimate, state = estimator.estimate(theta, state, NoData(), k)
            total = total + estimate.gradient / 4
        return total

    samples = jax.jit(jax.vmap(one_run))(jax.random.split(key_es, num))
    difference = samples.mean(0) - reference.mean(0)
    error = jnp.sqrt((samples.var(0) + reference.var(0)) / num)
    assert bool(jnp.all(jnp.abs(difference) < 4 * error)), (difference, error)
