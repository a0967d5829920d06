"""HyperController against numpy, and as plain Adam while its knobs do not move."""

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_numpy import LossMoments, linear, lstm, mlp, tensor_statistics

from metaopt.learned_optimizers import HyperController
from taskset.errors import InputError

LOSSES = np.array([2.0, 1.5, np.nan, 1.2, 1.4])


def reference(controller):
    def run(theta, params, gradients, value):
        m, v = ({k: np.zeros_like(p) for k, p in params.items()} for _ in range(2))
        moved = {k: np.zeros(4) for k in params}
        losses, h, c = LossMoments(0.9), {}, {}
        for k in params if controller == "lstm" else ():
            h[k], c[k] = theta["start"]["output"], theta["start"]["memory"]
        for step, gradient in enumerate(gradients):
            losses.see(value[step])
            for k, w in params.items():
                g = gradient[k]
                x = [*tensor_statistics(g, w, m[k], v[k]), losses.feature(value[step]), *moved[k]]
                if controller == "mlp":
                    out = mlp(theta["mlp"], np.array(x))
                else:
                    h[k], c[k] = lstm(theta["lstm"], np.array(x), h[k], c[k])
                    out = linear(theta["output"], h[k])
                moved[k] = np.clip(moved[k] + 0.01 * out, -10, 10)
                rate, one_minus_b1, one_minus_b2, e = np.exp(theta["knobs"] + moved[k])
                b1, b2 = 1 - min(one_minus_b1, 1), 1 - min(one_minus_b2, 1)
                m[k] = b1 * m[k] + (1 - b1) * g
                v[k] = b2 * v[k] + (1 - b2) * g**2
                params = params | {k: w - rate * (1 + e) / (e + np.sqrt(v[k] + 1e-10)) * m[k]}
        return params

    return run


@pytest.mark.parametrize(("controller", "num_meta_params"), [("lstm", 7112), ("mlp", 840)])
def test_matches_an_independent_computation(controller, num_meta_params):
    optimizer = HyperController(controller)
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == num_meta_params
    # Outputs large enough that knobs move, and epsilon where it matters.
    name, layer = ("mlp", "layer1") if controller == "mlp" else ("output", None)
    meta_params = against_numpy.shaken(meta_params)
    last = meta_params[name][layer] if layer else meta_params[name]
    last["weight"] = 10 * last["weight"]
    meta_params["knobs"] = meta_params["knobs"].at[3].set(-2.0)
    against_numpy.check(optimizer, reference(controller), meta_params, value=LOSSES)


def test_knobs_that_do_not_move_make_adam_without_correction():
    optimizer = HyperController("mlp", learning_rate=0.1)
    meta_params = optimizer.init(jax.random.key(0))
    meta_params["mlp"]["layer1"] = jax.tree.map(jnp.zeros_like, meta_params["mlp"]["layer1"])
    transformation = optimizer.as_optax(meta_params)
    params = {"a": jnp.linspace(1, 2, 4)}
    updates, _ = transformation.update(params, transformation.init(params), params)
    np.testing.assert_allclose(updates["a"], -0.1 * 0.1 / np.sqrt(0.001), rtol=1e-4)


def test_an_unknown_controller_is_refused():
    with pytest.raises(InputError, match="controller is 'gru'; it must be one of"):
        HyperController("gru").init(jax.random.key(0))
