"""The Adam baseline is optax's Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.baselines.one_rate import Adam
from taskset.errors import InputError

pytestmark = pytest.mark.usefixtures("standard_promotion")

NUM_STEPS = 4
PARAMS = {"weight": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.ones(())}


def updates_of(optimizer):
    def step(state, scale):
        gradients = jax.tree.map(lambda p: jnp.sin(scale * p), PARAMS)
        updates, state = optimizer.update(gradients, state, PARAMS)
        return state, updates

    return jax.lax.scan(step, optimizer.init(PARAMS), jnp.arange(1.0, NUM_STEPS + 1))[1]


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [("constant", 0.3), ("cosine", optax.cosine_decay_schedule(0.3, NUM_STEPS))],
)
def test_updates_are_those_of_optax(schedule, rate):
    baseline = Adam(schedule).as_optax({"learning_rate": jnp.float32(0.3)}, num_steps=NUM_STEPS)
    found, expected = updates_of(baseline), updates_of(optax.adam(rate))
    for name in PARAMS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_the_loss_may_be_given():
    baseline = Adam().as_optax(Adam().init(jax.random.key(0)))
    updates, _ = baseline.update(PARAMS, baseline.init(PARAMS), PARAMS, value=jnp.ones(()))
    np.testing.assert_allclose(updates["bias"], -1e-3, rtol=1e-5)


def test_cosine_decay_needs_the_length_of_training():
    with pytest.raises(InputError, match="needs num_steps"):
        Adam("cosine").as_optax({"learning_rate": jnp.float32(0.3)})
