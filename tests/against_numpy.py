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


class FactoredFeatures:
    """The 28 features of a tensor by Adam and Adafactor statistics, and the 2 that extend them."""

    def __init__(self, param, momentum_decays, second_decay, factored_decays):
        self.decays = momentum_decays, second_decay, factored_decays
        self.order = np.argsort(param.shape, kind="stable")
        self.momenta, self.second = [np.zeros_like(param)] * 3, np.zeros_like(param)
        self.rows, self.cols = [0.0] * 3, [0.0] * 3

    def see(self, g):
        momentum_decays, second_decay, factored_decays = self.decays
        self.momenta = [d * m + (1 - d) * g for d, m in zip(momentum_decays, self.momenta)]
        self.second = second_decay * self.second + (1 - second_decay) * g**2
        over = lambda axis: np.mean(g**2 + 1e-30, axis=axis, keepdims=True)
        row_new, col_new = (g**2 + 1e-30,) * 2
        if g.ndim >= 2:
            row_new, col_new = over(self.order[-1]), over(self.order[-2])
        self.rows = [d * x + (1 - d) * row_new for d, x in zip(factored_decays, self.rows)]
        self.cols = [d * x + (1 - d) * col_new for d, x in zip(factored_decays, self.cols)]

    def features(self, g, param, extended=False):
        r = 1 / np.sqrt(self.second + 1e-6)
        if g.ndim >= 2:
            mean = lambda x: np.mean(x, axis=self.order[-2], keepdims=True)
            row_factors = [np.maximum(x / (mean(x) + 1e-9), 1e-9) ** -0.5 for x in self.rows]
            factors = [f * np.maximum(c, 1e-9) ** -0.5 for f, c in zip(row_factors, self.cols)]
            momentum_factors = factors
        else:
            factors = [(x + 1e-9) ** -0.5 for x in self.rows]
            momentum_factors = [(x + 1e-6) ** -0.5 for x in self.rows]
        tile = lambda xs: [np.broadcast_to(x, param.shape) for x in xs]
        inverse_roots = lambda xs: tile([(x + 1e-8) ** -0.5 for x in xs])
        return [
            g, param, *self.momenta, self.second, *[m * r for m in self.momenta], r,
            *[g * f for f in factors], *tile(self.rows), *tile(self.cols),
            *inverse_roots(self.rows), *inverse_roots(self.cols),
            *[m * f for m, f in zip(self.momenta, momentum_factors)],
            *([np.clip(g, -0.1, 0.1), g * r] if extended else []),
        ]  # fmt: skip


def scaled_columns(features):
    """[parameters, features], each feature divided by its root mean square over the tensor."""
    flat = np.stack([f.reshape(-1) for f in features], axis=1)
    return flat / np.sqrt(np.mean(flat**2, axis=0, keepdims=True) + 1e-5)


def mlp(network, x):
    """[parameters, inputs] to [parameters, outputs], by rectified linear units."""
    for index in range(len(network)):
        x = x @ network[f"layer{index}"]["weight"] + network[f"layer{index}"]["bias"]
        x = np.maximum(x, 0) if index < len(network) - 1 else x
    return x


def linear(layer, x):
    return x @ layer["weight"] + layer["bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(weights, x, output, memory):
    """Rows are cells; the gates in the order input, candidate, forget, output."""
    gates = linear(weights, np.concatenate([x, output], axis=-1))
    enter, candidate, forget, leave = np.split(gates, 4, axis=-1)
    memory = sigmoid(forget + 1) * memory + sigmoid(enter) * np.tanh(candidate)
    return sigmoid(leave) * np.tanh(memory), memory


def clipped_log(x):
    return np.clip(np.log(1e-8 + np.abs(x)), -5, 5)


def tensor_statistics(g, w, m, v):
    """16 statistics of a tensor; m and v are of one decay or [decays, *shape]."""
    dims = np.array([*w.shape, 1, 1, 1, 1][:4])
    return [
        clipped_log(np.mean(m)), np.sign(np.mean(m)), clipped_log(np.var(m)),
        clipped_log(np.mean(v)), np.sign(np.mean(v)), clipped_log(np.var(v)),
        clipped_log(np.mean(w)), np.sign(np.mean(w)), clipped_log(np.var(w)),
        clipped_log(np.sqrt(np.sum(w**2))), clipped_log(np.sqrt(np.sum(g**2))),
        1.0 if w.ndim == 0 else -1.0, *(np.log(dims) - 1),
    ]  # fmt: skip


class LossMoments:
    """Mean and variance of a loss over time."""

    def __init__(self, decay):
        self.decay, self.mean, self.var, self.count = decay, 0.0, 0.0, 0

    def see(self, loss):
        if np.isfinite(loss):
            self.mean = self.decay * self.mean + (1 - self.decay) * loss
            self.var = self.decay * self.var + (1 - self.decay) * (self.mean - loss) ** 2
            self.count += 1

    def corrected(self):
        known = 1 - self.decay**self.count
        return self.mean / known, self.var / known

    def feature(self, loss):
        if not np.isfinite(loss):
            return 0.0
        mean, var = self.corrected()
        return np.clip((loss - mean) / np.sqrt(var + 1e-8), -5, 5)
