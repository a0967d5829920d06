"""A reference trajectory: whoever loads an optimizer can see that it does what it did.

Ten updates of a matrix, a vector and a scalar by fixed gradients that grow with the parameters. Any
port of an exported optimizer, in any framework, can be compared with it.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

NUM_STEPS = 10
SHAPES: dict[str, tuple[int, ...]] = {"matrix": (4, 3), "scalar": (), "vector": (3,)}
GRADIENT_OF_PARAM = 0.1  # gradient = noise of the step + this * parameter
TOLERANCE = 1e-3  # of the distance travelled; platforms differ in the last digits


def inputs() -> dict[str, np.ndarray]:
    """Start "param/NAME" and noise "noise/NAME", [NUM_STEPS, ...], by name, float32."""
    draw = np.random.RandomState(0)
    arrays = {}
    for name, shape in SHAPES.items():
        arrays[f"param/{name}"] = np.asarray(draw.randn(*shape), np.float32)
        arrays[f"noise/{name}"] = draw.randn(NUM_STEPS, *shape).astype(np.float32)
    return arrays


def trajectory(
    optimizer: optax.GradientTransformationExtraArgs, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The parameters after each update, "after/NAME", [NUM_STEPS, ...] float32."""
    params = {name: jnp.asarray(arrays[f"param/{name}"]) for name in SHAPES}
    noise = {name: jnp.asarray(arrays[f"noise/{name}"]) for name in SHAPES}

    def step(carry, noise):
        params, state = carry
        gradients = jax.tree.map(lambda n, p: n + GRADIENT_OF_PARAM * p, noise, params)
        value = sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradients))
        updates, state = optimizer.update(gradients, state, params, value=value)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    run = jax.jit(lambda params, noise: jax.lax.scan(step, (params, optimizer.init(params)), noise))
    # Accelerators may round the factors of matrix products, beyond the tolerance, unless told.
    with jax.default_matmul_precision("highest"):
        after = run(params, noise)[1]
    return {f"after/{name}": np.asarray(x) for name, x in after.items()}


def deviation(
    optimizer: optax.GradientTransformationExtraArgs, arrays: Mapping[str, np.ndarray]
) -> float:
    """The greatest distance from the reference, as a share of the distance that it travels."""
    found = trajectory(optimizer, arrays)
    shares = []
    for name in SHAPES:
        reference = arrays[f"after/{name}"]
        travelled = np.max(np.abs(reference - arrays[f"param/{name}"][None]))
        error = np.max(np.abs(found[f"after/{name}"] - reference))
        shares.append(float(error / travelled) if travelled > 0 else float(error))
    return float(np.nan_to_num(np.max(shares), nan=np.inf))
