"""Every update rule, step by step, against the same arithmetic in numpy and float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.baselines import search_spaces
from metaopt.baselines.optimizers import build

NUM_STEPS = 24  # announced; some more are done
TOTAL = 28
SEEDS = tuple(range(10))
SHAPES = {"bias": (), "weight": (2, 3)}
FIDELITIES = ("intended", "released")


def make_stream():
    """Gradients and parameters of every step; prescribed, so that errors do not feed back."""
    rng = np.random.RandomState(0)
    draw = lambda: {
        name: rng.normal(size=(TOTAL, *shape)).astype(np.float32) for name, shape in SHAPES.items()
    }
    gradients, params = draw(), draw()
    params["weight"][:, 0, 0] = 0.0  # where the subgradient of |p| is a matter of choice
    gradients["weight"][:, 1, 1] *= 1e-6  # where 1e-10 under the root is felt
    return gradients, params


GRADIENTS, PARAMS = make_stream()


def stacked(space):
    """Configurations of a space as float32, and some at the ends of their ranges."""
    drawn = [search_spaces.sample(space, seed) for seed in SEEDS]
    if "linear_decay" in drawn[0]:  # so large that the rate ends at 0
        drawn.append(drawn[0] | {"learning_rate": 0.1, "linear_decay": 2e-4})
    if space == "nadamw_grid":
        longer = {"warmup_fraction": 0.3, "constant_fraction": 0.1}  # than the constant phase
        both = {"use_nesterov": True, "l2_weight_decay": 0.1, "adamw_weight_decay": 0.1}
        drawn += [drawn[0] | longer | both, drawn[0] | both | {"constant_fraction": 1.0}]
    return {key: np.asarray([values[key] for values in drawn], np.float32) for key in drawn[0]}


@functools.cache
def updates_found(space, fidelity):
    """[configurations, steps, ...] for every tensor; all configurations in one program."""

    @jax.jit
    @jax.vmap
    def run(hyperparameters):
        optimizer = build(space, hyperparameters, NUM_STEPS, fidelity)

        def step(state, now):
            updates, state = optimizer.update(now[0], state, now[1])
            return state, updates

        start = optimizer.init(jax.tree.map(lambda x: x[0], PARAMS))
        return jax.lax.scan(step, start, (GRADIENTS, PARAMS))[1]

    return run({key: jnp.asarray(x) for key, x in stacked(space).items()})


def adam_form(h, gradients, params, fidelity):
    """TensorFlow 1's Adam."""
    beta1, beta2 = h.get("beta1", 0.9), h.get("beta2", 0.999)
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        rate = h["learning_rate"] * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        yield -rate * m / (np.sqrt(v) + h.get("epsilon", 1e-8))


def decayed_form(h, gradients, params, fidelity):
    """Adam6p, and Adam8p where there are penalties."""
    length = 10_000 if "l1" in h and fidelity == "released" else NUM_STEPS
    beta1, beta2 = h["beta1"], h["beta2"]
    m = v = 0.0
    for t, (g, p) in enumerate(zip(gradients, params), 1):
        penalised = g + h.get("l2", 0.0) * 2 * p + h.get("l1", 0.0) * np.sign(p)
        m = beta1 * m + (1 - beta1) * penalised
        v = beta2 * v + (1 - beta2) * penalised**2
        time = (t - 1) * 10_000 / length
        rate = max(1 - h["linear_decay"] * time, 0) * np.exp(-h["exponential_decay"] * time)
        root = np.sqrt(v / (1 - beta2**t) + 1e-10)
        yield -h["learning_rate"] * rate * (m / (1 - beta1**t)) / (root + h["epsilon"])


def nadamw_rate(h, step):
    step = min(step, NUM_STEPS)
    constant = h["constant_fraction"] * NUM_STEPS
    warmup = NUM_STEPS * min(h["warmup_fraction"], h["constant_fraction"])
    if h["warmup_fraction"] > 0 and step < warmup:
        return h["learning_rate"] * step / warmup
    if step <= constant:
        return h["learning_rate"]
    least = h["min_learning_rate_mult"] * h["learning_rate"]
    cosine = np.cos(np.pi * (step - constant) / (NUM_STEPS - constant))
    return least + (h["learning_rate"] - least) * (1 + cosine) / 2


def nadamw_form(h, gradients, params, fidelity):
    """Intended: l2 pulls towards 0 and Nesterov momentum is used. Released: neither."""
    beta1, beta2 = h["beta1"], h["beta2"]
    nesterov = h["use_nesterov"] == 1 and fidelity == "intended"
    l2 = h["l2_weight_decay"] if fidelity == "intended" else -h["l2_weight_decay"]
    m = v = 0.0
    for t, (g, p) in enumerate(zip(gradients, params), 1):
        decayed = g + l2 * p
        m, v = beta1 * m + (1 - beta1) * decayed, beta2 * v + (1 - beta2) * decayed**2
        momentum = beta1 * m + (1 - beta1) * decayed if nesterov else m
        rate = nadamw_rate(h, t - 1) * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        step = rate * momentum / (np.sqrt(v) + h["epsilon"])
        yield -(step + rate * h["adamw_weight_decay"] * p)


def adagrad_form(h, gradients, params, fidelity):
    squares = h["initial_accumulator_value"]
    for g in gradients:
        squares = squares + g**2
        yield -h["learning_rate"] * g / np.sqrt(squares)


FORMS = {
    "adam1p_wide_grid": adam_form,
    "adam4p_wide_grid": adam_form,
    "adam6p_wide_grid": decayed_form,
    "adam8p_wide_grid": decayed_form,
    "nadamw_grid": nadamw_form,
    "adagrad_wide_grid": adagrad_form,
}


def updates_expected(space, fidelity, name):
    """[configurations, steps, ...] float64 of one tensor."""
    columns = {key: x.astype(np.float64) for key, x in stacked(space).items()}
    gradients, params = GRADIENTS[name].astype(np.float64), PARAMS[name].astype(np.float64)
    return np.asarray(
        [
            list(FORMS[space](dict(zip(columns, row)), gradients, params, fidelity))
            for row in zip(*columns.values())
        ]
    )


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("space", FORMS)
def test_every_update_is_that_of_numpy(space, fidelity):
    found = updates_found(space, fidelity)
    for name, shape in SHAPES.items():
        expected = updates_expected(space, fidelity, name)
        assert found[name].shape == expected.shape == (expected.shape[0], TOTAL, *shape)
        for row, (some, exact) in enumerate(zip(np.asarray(found[name]), expected)):
            # Momenta may cancel: what is left is compared with the size of the others.
            size = np.max(np.abs(exact))
            assert size > 0
            np.testing.assert_allclose(some, exact, rtol=1e-5, atol=2e-6 * size, err_msg=f"{row}")


def test_the_configurations_take_every_branch():
    nadamw = stacked("nadamw_grid")
    for key in ("use_nesterov", "l2_weight_decay", "adamw_weight_decay", "warmup_fraction"):
        assert 2 <= np.sum(nadamw[key] > 0) < len(nadamw[key])
    decayed = updates_expected("adam8p_wide_grid", "intended", "bias")[-1]
    assert decayed[-1] == 0 and decayed[0] != 0


@pytest.mark.parametrize("space", ["adam8p_wide_grid", "nadamw_grid"])
def test_fidelity_makes_a_difference(space):
    intended, released = (updates_found(space, fidelity)["weight"] for fidelity in FIDELITIES)
    difference = np.max(np.abs(intended - released), axis=(1, 2, 3))
    size = np.max(np.abs(intended), axis=(1, 2, 3))
    assert np.sum(difference > 1e-3 * size) >= 5


def test_intended_l2_draws_to_zero_and_released_drives_away():
    values = search_spaces.sample("nadamw_grid", 0)
    values |= {"use_nesterov": False, "l2_weight_decay": 0.1, "adamw_weight_decay": 0.0}
    values |= {"warmup_fraction": 0.0}
    params = {"weight": jnp.asarray([1.0, -2.0])}
    signs = []
    for fidelity in FIDELITIES:
        optimizer = build("nadamw_grid", values, NUM_STEPS, fidelity)
        nothing = jax.tree.map(jnp.zeros_like, params)
        updates, _ = optimizer.update(nothing, optimizer.init(params), params)
        signs.append(np.sign(updates["weight"]).tolist())
    assert signs == [[-1.0, 1.0], [1.0, -1.0]]


def test_zero_sets_parameters_to_zero():
    optimizer = build("zero", {})
    params = {"weight": jnp.asarray([1.0, -2.0])}
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    np.testing.assert_array_equal(params["weight"] + updates["weight"], [0.0, 0.0])
