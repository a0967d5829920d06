"""HierarchicalRNN against numpy, and how its learning rates move."""

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
from against_numpy import linear, sigmoid

from metaopt.learned_optimizers import HierarchicalRNN


def gru(weights, inputs, h, bias):
    """Rows are cells."""
    gates = sigmoid(
        linear(weights["gates"], np.concatenate([inputs, h], axis=1)) + bias[: 2 * h.shape[1]]
    )
    u, r = gates[:, : h.shape[1]], gates[:, h.shape[1] :]
    candidate = np.tanh(
        linear(weights["candidate"], np.concatenate([inputs, r * h], axis=1))
        + bias[2 * h.shape[1] :]
    )
    return u * h + (1 - u) * candidate


def reference(theta, params, gradients):
    params = {k: p.reshape(-1) for k, p in params.items()}
    shapes = {k: np.shape(g) for k, g in gradients[0].items()}
    h = {k: np.zeros((p.size, 10)) for k, p in params.items()}
    mean = {k: np.zeros((4, p.size)) for k, p in params.items()}
    square = {k: np.zeros((4, p.size)) for k, p in params.items()}
    log_rate = {k: np.full(p.size, np.log(1e-4)) for k, p in params.items()}
    tensor = {k: np.zeros((1, 20)) for k in params}
    everything = np.zeros((1, 20))
    gamma = sigmoid(theta["rate_decay_logit"])
    for gradient in gradients:
        average_rate = np.mean(np.concatenate(list(log_rate.values())))
        means = {}
        for k in params:
            g = gradient[k].reshape(-1)
            heads = linear(theta["outputs"], h[k])
            for j in range(4):
                b, c = (sigmoid(heads[:, i]) ** (0.5**j) for i in (2, 3))
                mean[k][j] = b * mean[k][j] + (1 - b) * g
                square[k][j] = c * square[k][j] + (1 - c) * g**2
            s = mean[k] / np.sqrt(square[k] + 1e-16)
            log_ms = np.log(square[k] + 1e-16)
            rows = [*s, *(s[:3] * s[1:]), *(log_ms - log_ms.mean(0)), log_rate[k] - average_rate]
            bias = (tensor[k] @ theta["tensor_to_param"])[0]
            h[k] = gru(theta["param"], np.stack(rows, axis=1), h[k], bias)
            heads = linear(theta["outputs"], h[k])
            d = heads[:, 0] / np.sqrt(np.mean(heads[:, 0] ** 2) + 1e-5)
            d = d + theta["shortcut"]["weight"] @ s + theta["shortcut"]["bias"]
            eta = np.clip(log_rate[k] + heads[:, 1], -33, 33)
            log_rate[k] = gamma * log_rate[k] + (1 - gamma) * eta
            params[k] = params[k] - np.exp(eta + theta["rate_offset"] - 1) * d
            means[k] = h[k].mean(0, keepdims=True)
        bias = (everything @ theta["all_to_tensor"])[0]
        tensor = {k: gru(theta["tensor"], means[k], tensor[k], bias) for k in params}
        mean_tensor = np.mean(list(tensor.values()), axis=0)
        everything = gru(theta["all"], mean_tensor, everything, np.zeros(60))
    return {k: p.reshape(shapes[k]) for k, p in params.items()}


def test_matches_an_independent_computation():
    optimizer = HierarchicalRNN()
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == 6861
    against_numpy.check(optimizer, reference)


def test_learning_rates_follow_the_increment_and_stay_within_limits():
    optimizer = HierarchicalRNN()
    meta_params = optimizer.init(jax.random.key(0))
    meta_params["outputs"]["weight"] = jnp.zeros_like(meta_params["outputs"]["weight"])
    params = {"a": jnp.ones(3)}
    for increment, expected in ((0.5, np.log(1e-4) + 0.5), (100.0, 33.0)):
        bias = meta_params["outputs"]["bias"].at[1].set(increment)
        at = meta_params | {"outputs": meta_params["outputs"] | {"bias": bias}}
        transformation = optimizer.as_optax(at)
        state = transformation.init(params)
        updates, after = transformation.update(params, state, params)
        # The untrained shortcut is the mean of the 4 scaled gradients.
        decays = sigmoid(np.array([2.2, 3.2]))[:, None] ** (0.5 ** np.arange(4))
        direction = np.mean((1 - decays[0]) / np.sqrt(1 - decays[1]))
        np.testing.assert_allclose(updates["a"], -np.exp(expected - 1) * direction, rtol=1e-4)
        share = 1 - sigmoid(3.2)
        kept = np.log(1e-4) + share * (expected - np.log(1e-4))
        np.testing.assert_allclose(after.log_rate["a"], kept, rtol=1e-5)
