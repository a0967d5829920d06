"""Hierarchical against numpy, and what becomes of losses."""

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_numpy import LossMoments, linear, lstm, mlp, scaled_columns, tensor_statistics

from metaopt.learned_optimizers import Hierarchical, hierarchical

DECAYS = np.array([0.5, 0.9, 0.99, 0.999, 0.9999])
TIME_SCALES = np.array([1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000], np.float64)
PARAMS = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(2)}
LOSSES = {
    "value": np.array([2.0, 1.5, np.nan, 1.2, 1.4]),
    "valid_value": np.array([np.nan, 1.7, np.nan, np.nan, 1.9]),
}


def mlp_inputs(g, w, m, v, extra, shared):
    r = 1 / np.sqrt(v + 1e-6)
    log_w = np.log(np.abs(w) + 1e-8)
    x = scaled_columns([g, w, log_w, *m, *(m * r), *v, *r, *extra])
    return np.concatenate([x, np.tile(shared, (len(x), 1))], axis=1)


def reference(paper, every):
    def run(theta, params, gradients, value, valid_value):
        decay, multiple = 0.99, 10.0
        if paper:
            decay = 1 - np.exp(10 * (np.log(0.01) / 10 + theta["clip"]["decay"]))
            multiple = np.exp(theta["clip"]["log_multiple"])
        clip = 1 - decay
        train, valid = LossMoments(0.9), LossMoments(0.95)
        m = {k: np.zeros((5, *p.shape)) for k, p in params.items()}
        v = {k: np.zeros((5, *p.shape)) for k, p in params.items()}
        start = theta["start"]
        h = {k: start["lstm"]["output"] for k in params}
        c = {k: start["lstm"]["memory"] for k in params}
        from_mlp = {k: start["from_mlp"] for k in params}
        mixed, snapshot = start["mixed"], dict(params)
        for step, gradient in enumerate(gradients):
            train.see(value[step])
            valid.see(valid_value[step])
            bound = multiple * clip / (1 - decay ** (step + 1))
            clipped = {k: np.clip(g, -bound, bound) for k, g in gradient.items()}
            mean_square = np.mean([np.mean(g**2) for g in clipped.values()])
            clip = decay * clip + (1 - decay) * np.sqrt(1e-8 + mean_square)
            valid_feature = train.feature(valid.corrected()[0]) if valid.count else 0.0
            losses = [train.feature(value[step]), valid_feature]
            sent, params = [], dict(params)
            for k, w in params.items():
                g = clipped[k]
                d = DECAYS.reshape(5, *[1] * w.ndim)
                m[k], v[k] = d * m[k] + (1 - d) * g, d * v[k] + (1 - d) * g**2
                inputs = [*tensor_statistics(g, w, m[k], v[k]), *losses, *mixed, *from_mlp[k]]
                assert len(inputs) == 52
                h[k], c[k] = lstm(theta["lstm"], np.array(inputs), h[k], c[k])
                sent.append(linear(theta["to_mixed"], h[k]))
                sines = np.sin(step / (TIME_SCALES * np.pi))
                sizes = [
                    np.log(3) - 1, np.log(np.sqrt(np.sum(w**2)) + 1e-8), np.log(w.size)
                ]  # fmt: skip
                shared = np.concatenate([sines, sizes, linear(theta["to_mlp"], h[k])])
                x = mlp_inputs(g, w, m[k], v[k], [snapshot[k]] if paper else [], shared)
                assert x.shape[1] == 54 + paper
                out = mlp(theta["mlp"], x)
                from_mlp[k] = np.mean(out[:, 2:], axis=0)
                snapshot[k] = w if step % every == 0 else snapshot[k]
                moved = 1e-3 * out[:, 0] * np.exp(1e-3 * out[:, 1])
                params[k] = w - moved.reshape(w.shape)
            mixed = np.mean(sent, axis=0)
        return params

    return run


@pytest.mark.parametrize(("variant", "num_meta_params"), [("port", 35_799), ("paper", 35_833)])
def test_matches_an_independent_computation(variant, num_meta_params, monkeypatch):
    monkeypatch.setattr(hierarchical, "SNAPSHOT_EVERY", 2)
    optimizer = Hierarchical(variant)
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == num_meta_params
    paper = variant == "paper"
    meta_params = against_numpy.shaken(meta_params, noise=0.05)
    if paper:  # so that gradients are clipped
        meta_params["clip"]["log_multiple"] = jnp.float32(-1.5)
    against_numpy.check(optimizer, reference(paper, 2), meta_params, **LOSSES)


def after(steps, **losses):
    optimizer = Hierarchical()
    transformation = optimizer.as_optax(
        against_numpy.shaken(optimizer.init(jax.random.key(0)), factor=3.0)
    )
    state, update = transformation.init(PARAMS), jax.jit(transformation.update)
    for step in range(steps):
        at = {name: jnp.float32(x[step]) for name, x in losses.items()}
        updates, state = update(PARAMS, state, PARAMS, **at)
    return updates, state


def test_a_validation_loss_matters_and_nan_is_none():
    train = np.array([2.0, 1.0, 1.5])
    nothing = np.full(3, np.nan)
    with_nan, state = after(3, value=train, valid_value=nothing)
    without, other = after(3, value=train)
    for x, y in zip(jax.tree.leaves((with_nan, state)), jax.tree.leaves((without, other))):
        np.testing.assert_array_equal(x, y)
    given, state = after(3, value=train, valid_value=np.array([1.8, np.nan, np.nan]))
    assert state.valid_loss.num_seen == 1
    assert bool(jnp.any(given["a"] != without["a"]))


def test_large_gradients_are_clipped_to_ten_times_what_they_were():
    optimizer = Hierarchical()
    transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)))
    state = transformation.init(PARAMS)
    huge = jax.tree.map(lambda x: jnp.full_like(x, 1e6), PARAMS)
    _, state = transformation.update(huge, state, PARAMS)
    np.testing.assert_allclose(state.momentum[0]["a"], 0.5 * 10.0, rtol=1e-5)
    np.testing.assert_allclose(state.clip_average, 0.99 * 0.01 + 0.01 * 10.0, rtol=1e-4)
