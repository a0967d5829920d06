"""Five steps of a learned optimizer and of a computation in numpy that shares only the paper."""

import jax
import jax.numpy as jnp
import numpy as np

NUM_STEPS = 5
SHAPES = {"matrix": (5, 3), "scalar": (), "vector": (4,)}  # in the order of the tree


def shaken(meta_params, seed=7, factor=1.0, noise=0.1):
    """Meta-parameters away from where they start, biases from zero, so that every input matters."""
    leaves, structure = jax.tree.flatten(meta_params)
    draw = np.random.RandomState(seed)
    return structure.unflatten(
        [factor * x + jnp.asarray(noise * draw.randn(*x.shape), jnp.float32) for x in leaves]
    )


def check(optimizer, reference, meta_params=None, num_steps=None, tolerance=1e-5, **extra_args):
    """Asserts that both end at the same parameters, to a share `tolerance` of the way travelled.

    `reference(meta_params, params, gradients, **extra_args)` has dictionaries and lists of float64,
    gradients one dictionary a step, and returns the parameters after the last. `extra_args` are
    arrays [NUM_STEPS].
    """
    meta_params = shaken(optimizer.init(jax.random.key(0))) if meta_params is None else meta_params
    draw = np.random.RandomState(3)
    params = {name: np.asarray(draw.randn(*shape)) for name, shape in SHAPES.items()}
    gradients = [
        {name: 0.3 * np.asarray(draw.randn(*shape)) for name, shape in SHAPES.items()}
        for _ in range(NUM_STEPS)
    ]
    as_numpy = jax.tree.map(lambda x: np.asarray(x, np.float64), meta_params)
    expected = reference(as_numpy, params, gradients, **extra_args)
    found = _final_params(optimizer, meta_params, params, gradients, num_steps, extra_args)
    for name in SHAPES:
        travelled = np.abs(expected[name] - params[name]).max()
        assert travelled > 1e-6, name
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance * travelled)


def _final_params(optimizer, meta_params, params, gradients, num_steps, extra_args):
    with jax.enable_x64(True):  # accumulators are float64 where parameters are
        transformation = optimizer.as_optax(meta_params, num_steps=num_steps)
        params = jax.tree.map(jnp.asarray, params)
        state, update = transformation.init(params), jax.jit(transformation.update)
        for index, gradient in enumerate(gradients):
            extra = {name: jnp.float32(values[index]) for name, values in extra_args.items()}
            updates, state = update(jax.tree.map(jnp.asarray, gradient), state, params, **extra)
            params = jax.tree.map(jnp.add, params, updates)
        return jax.tree.map(np.asarray, params)
