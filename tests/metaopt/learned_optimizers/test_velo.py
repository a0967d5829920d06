"""VeLO against numpy, as it should be and as it was released; what its schedule sees."""

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_numpy import FactoredFeatures, clipped_log, linear, lstm, mlp, scaled_columns

from metaopt.learned_optimizers import VeLO, schedule_features

NUM_STEPS = 40  # so that averages of the loss are of several lengths
LOSSES = np.array([2.0, 1.5, 30.0, 1.2, 1.0])
FRACTIONS = np.array([0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1])
SMALL = {"lstm_size": 16, "bank_size": 8}
DECAYS = (0.9, 0.99, 0.999), 0.999, (0.9, 0.99, 0.999)


class Schedule:
    """18 numbers on how far training is and how the loss goes, from the words of the paper."""

    def __init__(self, num_steps, longest):
        self.num_steps = num_steps
        self.decays = np.exp(-1 / np.logspace(1, np.log10(max(10, longest)), 10))
        self.mean, self.least, self.count = np.zeros(10), np.full(10, np.inf), 0

    def see(self, loss):
        if self.count:
            loss = min(loss, 2 * abs(max(self.mean / (1 - self.decays**self.count))))
        self.count += 1
        self.mean = self.decays * self.mean + (1 - self.decays) * loss
        self.least = np.minimum(self.least, self.mean / (1 - self.decays**self.count))

    def features(self, step):
        progress = np.tanh(10 * (step / self.num_steps - FRACTIONS))
        trend = np.zeros(9)
        if self.count > 2:
            mean = self.mean / (1 - self.decays**self.count)
            above = np.maximum(1e-8, mean[1:] - self.least[:-1])
            trend = np.clip((mean[:-1] - self.least[:-1]) / above - 1, -1, 1)
        return [*progress, *trend]


def look_of(w, statistics, released):
    size = np.sqrt(np.mean(w**2) + 1e-9)
    momenta, v = [m / size for m in statistics.momenta], statistics.second / size
    centers = [np.mean(m) for m in momenta] if released else [np.mean(v)]
    moments = [np.mean(v), *[np.var(m) for m in momenta]]
    moments += [np.mean((v - center) ** 2) for center in centers]
    rank = np.eye(5)[sum(n > 1 for n in w.shape)]
    return [*(clipped_log(10 * np.array(moments)) / 2), *rank]


def reference(released, older=False):
    def run(theta, params, gradients, value):
        schedule = Schedule(NUM_STEPS, 10 if older else NUM_STEPS)
        kept = {k: FactoredFeatures(p, *DECAYS) for k, p in params.items()}
        h, c = (np.tile(theta["start"][name], (3, 1)) for name in ("output", "memory"))
        for step, gradient in enumerate(gradients):
            schedule.see(value[step])
            rows = []
            for k, w in params.items():
                before = look_of(w, kept[k], released)
                kept[k].see(np.clip(gradient[k], -1000, 1000))
                look = before if released else look_of(w, kept[k], released)
                rows.append([*schedule.features(step), *look])
            x = np.array(rows)
            assert x.shape[1] == (30 if released else 28)
            said = x if released else np.maximum(linear(theta["tell_first"], x), 0)
            said = np.maximum(linear(theta["tell_second"], said), 0)
            told = linear(theta["straight"], x) + said.max(0)
            seen, memory = lstm(theta["lstm"], told, h, c)
            h, c = (h, c) if older else (seen, memory)
            rates, mixtures = linear(theta["rate"], seen)[:, 0], linear(theta["mixture"], seen)
            moved = {}
            for (k, w), rate, mixture in zip(params.items(), rates, mixtures):
                mix = lambda bank: 100 * np.mean([a * b for a, b in zip(mixture, bank)], axis=0)
                network = jax.tree.map(mix, theta["bank"])
                features = kept[k].features(gradient[k], w, extended=True)
                assert len(features) == 30
                d, m, _ = mlp(network, scaled_columns(features)).T
                step_size = rate * 1e-3 * np.sqrt(np.mean(w**2) + 1e-9)
                moved[k] = w - step_size * (d * np.exp(1e-3 * m)).reshape(w.shape)
            params = moved
        return params

    return run


@pytest.mark.parametrize(
    ("released", "older"), [(False, False), (True, False), (True, True)], ids=str
)
def test_matches_an_independent_computation(released, older):
    optimizer = VeLO(**SMALL, released=released, equal_averages=older, forgets=older)
    against_numpy.check(optimizer, reference(released, older), num_steps=NUM_STEPS, value=LOSSES)


@pytest.mark.parametrize(
    ("optimizer", "num_meta_params"),
    [
        (VeLO(released=True), 2_320_385),
        (VeLO(lstm_size=128, bank_size=64, released=True), 162_305),
        # Two inputs less, and a second layer from the first instead of from the inputs.
        (VeLO(), 2_320_385 - 2 * 2 * 512 - 30 * 512 + 512 * 512),
    ],
    ids=["released", "small", "corrected"],
)
def test_number_of_meta_params(optimizer, num_meta_params):
    shapes = jax.eval_shape(optimizer.init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == num_meta_params


def test_tensors_hear_of_each_other_and_of_the_horizon():
    optimizer = VeLO(**SMALL)
    meta_params = against_numpy.shaken(optimizer.init(jax.random.key(0)))

    def update(other, num_steps):
        params = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": other}
        transformation = optimizer.as_optax(meta_params, num_steps=num_steps)
        state = transformation.init(params)._replace(step=jnp.int32(5))
        return transformation.update(params, state, params)[0]["a"]

    usual = update(jnp.ones(4), 100)
    assert bool(jnp.any(usual != update(100 * jnp.ones((2, 4)), 100)))
    assert bool(jnp.any(usual != update(jnp.ones(4), 10)))


def test_losses_that_are_not_finite_are_not_seen():
    trend = schedule_features.observe(schedule_features.no_losses(), 2.0, 100)
    for loss in (jnp.nan, jnp.inf, None):
        after = schedule_features.observe(trend, loss, 100)
        for x, y in zip(after, trend):
            np.testing.assert_array_equal(x, y)
