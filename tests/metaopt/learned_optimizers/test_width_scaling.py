"""Scaling by width: the coordinate check of the maximal update parametrisation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from against_numpy import shaken

from metaopt.learned_optimizers import PerParameterMLP
from metaopt.learned_optimizers.width_scaling import width_ratios
from metaopt.learned_optimizers.wrappers import wrapped
from taskset.errors import InputError

WIDTHS = (32, 128, 512)
NUM_INPUTS, NUM_OUTPUTS, BATCH = 8, 4, 16


def start(width):
    """An MLP of three layers, the last at 0."""
    keys = jax.random.split(jax.random.key(0), 2)
    normal = lambda key, *shape: jax.random.normal(key, shape) * shape[0] ** -0.5
    weights = [normal(keys[0], NUM_INPUTS, width), normal(keys[1], width, width)]
    weights += [jnp.zeros((width, NUM_OUTPUTS))]
    return [{"weight": w, "bias": jnp.zeros(w.shape[1])} for w in weights]


def layers(params, inputs):
    """What every layer gives, before its activation."""
    found = []
    for layer in params:
        inputs = inputs @ layer["weight"] + jnp.broadcast_to(
            layer["bias"], (BATCH, len(layer["bias"]))
        )
        found.append(inputs)
        inputs = jnp.tanh(inputs)
    return found


def changes(optimizer, width, base_params):
    """Root mean square of the change of every layer after 3 steps, [layers]."""
    key_inputs, key_labels = jax.random.split(jax.random.key(1))
    inputs = jax.random.normal(key_inputs, (BATCH, NUM_INPUTS))
    labels = jax.random.normal(key_labels, (BATCH, NUM_OUTPUTS))
    loss = lambda params: jnp.mean((layers(params, inputs)[-1] - labels) ** 2)
    transformation = wrapped(optimizer, learning_rate=1.0, base_params=base_params)

    def step(_, carry):
        params, state = carry
        updates, state = transformation.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def run(params):
        after, _ = jax.lax.fori_loop(0, 3, step, (params, transformation.init(params)))
        rms = lambda x: jnp.sqrt(jnp.mean(x**2))
        pairs = zip(layers(params, inputs), layers(after, inputs), strict=True)
        return jnp.stack([rms(new - old) for old, new in pairs])

    return np.asarray(run(start(width)))


def test_layers_change_as_much_at_every_width():
    learned = PerParameterMLP(hidden_size=8, step_multiplier=0.02)
    optimizer = learned.as_optax(shaken(learned.init(jax.random.key(0))))
    base = start(WIDTHS[0])
    scaled = np.stack([changes(optimizer, width, base) for width in WIDTHS])
    assert np.all(scaled.max(0) < 2 * scaled.min(0)), scaled
    plain = changes(optimizer, WIDTHS[-1], None)
    assert np.all(plain[1:] > 4 * scaled[0, 1:]), plain


def test_ratios_are_of_inputs():
    params = {"kernel": jnp.ones((3, 3, 16, 32)), "first": jnp.ones((5, 64)), "bias": jnp.ones(64)}
    base = {"kernel": (3, 3, 4, 8), "first": (5, 16), "bias": (16,)}
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in base.items()}
    assert width_ratios(params, shapes) == {"kernel": 4.0, "first": 1.0, "bias": 1.0}


def test_another_network_is_refused():
    with pytest.raises(InputError, match="built narrower"):
        width_ratios({"w": jnp.ones((2, 2))}, {"v": jnp.ones((2, 2))})
