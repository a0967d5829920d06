"""Self-tuning on ridge regression, where the best response has a closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ridge import DIM, RegressionFamily

from metaopt import dynamics
from metaopt.domains import Between, Box, Positive, Real, Whole
from metaopt.estimators import DirectGradient
from metaopt.horizons import Endless
from metaopt.hyperparameter_training import Training
from metaopt.hyperparameters import Hyperparameter
from metaopt.learner import Learner
from metaopt.outer_optimizer import OuterOptimizer
from metaopt.self_tuning import layers
from metaopt.self_tuning.layers import Draws
from metaopt.self_tuning.perturbations import entropy
from metaopt.self_tuning.problem import PredictingTraining, RespondingTraining, SelfTuning
from metaopt.self_tuning.responses import BestResponse, Responsive
from taskset.data.arrays import ArrayDataset
from taskset.errors import InputError

KEY = jax.random.key(0)
PENALTY = 0.8


@dataclasses.dataclass(frozen=True)
class Ridge(Training):
    """One penalty, free as it is: then the response that fits best is exact at any scale."""

    domain: object = Real()
    start: float = PENALTY

    def hyperparameters(self):
        return {"penalty": Hyperparameter(self.start, self.domain)}

    def inner_loss(self, values, task, params, batch, key):
        penalty = 0.5 * values["penalty"] * jnp.sum(jnp.square(params["weight"]))
        return task.loss(params, batch, key) + penalty

    def dynamics(self, values):
        return optax.sgd(optax.polynomial_schedule(0.2, 0.002, 1.0, 3000))


@dataclasses.dataclass(frozen=True)
class PredictingRidge(Ridge, PredictingTraining):
    """The same, in two parts."""

    inner_loss = PredictingTraining.inner_loss

    def predictions(self, values, task, params, batch, key):
        return batch["x"] @ params["weight"]

    def criterion(self, values, task, params, predictions, batch):
        penalty = 0.5 * values["penalty"] * jnp.sum(jnp.square(params["weight"]))
        return 0.5 * jnp.mean(jnp.square(predictions - batch["y"])) + penalty


def trained(problem, num_steps):
    data = problem.load_data()
    meta_params = problem.start(data, KEY)

    @jax.jit
    def run(key):
        state = problem.init(meta_params, data, KEY)
        step = lambda state, key: (problem.advance(meta_params, state, data, key), None)
        return jax.lax.scan(step, state, jax.random.split(key, num_steps))[0]

    return run(KEY).params


RESPONSES = {
    "absolute": (Ridge(), False),
    "centred": (Ridge(), True),
    "centred_and_linearised": (PredictingRidge(), True),
}


@pytest.mark.parametrize(("training", "centred"), RESPONSES.values(), ids=RESPONSES)
def test_the_response_is_that_of_training(training, centred):
    """Of A = X'X/n + penalty: w = A^-1 b, dw/dpenalty = -A^-1 w. Where all weights are perturbed,
    by s, the mean of w solves (A - s^2 A^-1) w = b."""
    problem = SelfTuning(
        RegressionFamily(), training, "whole", scale=0.4, tune_scales=False, centred=centred
    )
    found = trained(problem, 4000)
    train = jax.tree.map(np.asarray, problem.load_data().arrays["train"])
    matrix = train["x"].T @ train["x"] / 40 + PENALTY * np.eye(DIM)
    wider = matrix if centred else matrix - 0.4**2 * np.linalg.inv(matrix)
    weight = np.linalg.solve(wider, train["x"].T @ train["y"] / 40)
    slope = -np.linalg.solve(matrix, weight)
    response = np.asarray(found.response["weight"])[0]
    at_present = np.asarray(found.elementary["weight"])
    at_present = at_present if centred else at_present + PENALTY * response
    relative = lambda x, y: np.linalg.norm(x - y) / np.linalg.norm(y)
    # Of one run, whose batches are whole: without perturbations there is no noise.
    assert relative(at_present, weight) < (1e-3 if centred else 0.03)
    assert relative(response, slope) < 0.03
    assert relative(np.zeros(DIM), slope) > 0.9


class FewNoisyExamples(RegressionFamily):
    def load_data(self):
        rng = np.random.RandomState(1)
        truth = rng.randn(DIM)
        arrays = {}
        for split, num in (("train", 16), ("outer_valid", 200)):
            x = rng.randn(num, DIM)
            arrays[split] = {"x": x, "y": x @ truth + 2.0 * rng.randn(num)}
        return ArrayDataset(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), arrays))


def best_log_penalty(data):
    """Of a grid, and the outer loss there."""
    (x, y), (x_valid, y_valid) = (
        (np.asarray(data.arrays[s]["x"]), np.asarray(data.arrays[s]["y"]))
        for s in ("train", "outer_valid")
    )

    def loss(log_penalty):
        matrix = x.T @ x / len(y) + np.exp(log_penalty) * np.eye(DIM)
        weight = np.linalg.solve(matrix, x.T @ y / len(y))
        return 0.5 * np.mean((x_valid @ weight - y_valid) ** 2)

    grid = np.linspace(-5, 5, 201)
    return grid[np.argmin([loss(g) for g in grid])], loss


class Momentum(Ridge):
    def dynamics(self, values):
        return dynamics.Momentum(0.01, 0.9)


@pytest.mark.parametrize(("start", "centred"), [(-3.0, False), (1.5, False), (3.0, True)])
def test_the_penalty_becomes_the_best_from_wherever_it_starts(start, centred):
    training = Momentum(Positive(), float(np.exp(start)))
    problem = SelfTuning(FewNoisyExamples(), training, "whole", "whole", groups=8, centred=centred)
    data = problem.load_data()
    estimator = DirectGradient(problem, 1, 4, Endless(), warm_up=50)
    learner = Learner(OuterOptimizer(learning_rate=0.02), num_steps=600)
    estimate = jax.jit(estimator.estimate)
    outer = learner.init(problem.start(data, KEY))
    state = jax.jit(estimator.init)(outer.meta_params, data, KEY)
    path = []
    for key in jax.random.split(KEY, learner.num_steps):
        found, state = estimate(outer.meta_params, state, data, key)
        outer = learner.update(outer, found)
        path.append(float(outer.meta_params["penalty"]))
    best, loss = best_log_penalty(data)
    assert abs(start - best) > 1.5
    found = np.mean(path[-100:])
    assert abs(found - best) < 0.3
    assert loss(found) < loss(best) + 0.01 < loss(start) - 0.1


def test_entropy_of_normal_noise():
    scales = {"a": jnp.asarray(2.0), "b": jnp.asarray([1.0, 3.0])}
    expected = 3 * 0.5 * np.log(2 * np.pi * np.e) + np.log(6.0)
    assert float(entropy(scales)) == pytest.approx(expected)
    problem = SelfTuning(RegressionFamily(), Ridge(), entropy_weight=0.25)
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    state = problem.init(meta_params, data, KEY)
    plain = dataclasses.replace(problem, entropy_weight=0.0)
    losses = [float(p.outer_loss(meta_params, state, data, KEY)) for p in (plain, problem)]
    of_one = 0.5 * np.log(2 * np.pi * np.e) + np.log(0.5)
    assert losses[0] - losses[1] == pytest.approx(0.25 * of_one, rel=1e-4)


@dataclasses.dataclass(frozen=True)
class Echo(Training):
    """Losses that say which values they were computed at."""

    def hyperparameters(self):
        return {
            "whole": Hyperparameter(2.0, Whole(0, 4)),
            "own": Hyperparameter(0.5, Between(0.0, 1.0)),
        }

    def inner_loss(self, values, task, params, batch, key):
        return values["whole"] + 10 * values["own"] + 0 * jnp.sum(params["weight"])

    def outer_loss(self, values, task, params, batch, key):
        return jnp.square(params["weight"][0] - 1)

    def dynamics(self, values):
        return optax.sgd(0.1)


def test_a_discrete_hyperparameter_moves_by_the_response():
    problem = SelfTuning(RegressionFamily(), Echo())
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    assert float(problem.values(meta_params)["whole"]) == 2.0
    state = problem.init(meta_params, data, KEY)
    response = {"weight": jnp.zeros((2, DIM)).at[0, 0].set(1.0)}
    state = state._replace(params=BestResponse(state.params.elementary, response))
    gradient = jax.grad(problem.outer_loss)(meta_params, state, data, KEY)
    # weight[0] is the perturbed free number itself, 0 on the mean: d(f - 1)^2 / df = -2.
    assert float(gradient["whole"]) == pytest.approx(-2, abs=4 * 2 * 0.5 / np.sqrt(10))
    assert float(gradient["own"]) == 0


def test_examples_are_perturbed_apart_but_for_what_they_share():
    """10 examples; the spread of their losses is seen by that of the mean of two batches."""
    problem = SelfTuning(RegressionFamily(), Echo(), scale=0.1, shared=("own",))
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    state = problem.init(meta_params, data, KEY)

    def spread(**changes):
        changed = dataclasses.replace(problem, **changes)
        at = {**meta_params, "scale_of_whole": jnp.float32(-30.0)}
        loss = lambda key: changed.inner_loss(at, state.task, state.params, data, key)
        return float(jnp.std(jax.vmap(loss)(jax.random.split(KEY, 500))))

    # d(10 sigmoid(f)) = 2.5 df, of scale 0.1; ten of them average to 10^-1/2 of it.
    assert spread() == pytest.approx(0.25, rel=0.1)
    assert spread(shared=()) == pytest.approx(0.25 / np.sqrt(10), rel=0.1)
    assert spread(shared=(), groups=2) == pytest.approx(0.25 / np.sqrt(2), rel=0.1)


@dataclasses.dataclass(frozen=True)
class Layered(RespondingTraining):
    def hyperparameters(self):
        return {"penalty": Hyperparameter(0.1, Positive())}

    def init(self, values, task, key):
        return BestResponse.of_layers({"only": layers.init_dense(Draws(key, 1), DIM, 1)})

    def inner_loss(self, values, task, params, batch, key):
        assert isinstance(params, Responsive)
        squares = values["penalty"] * jnp.sum(jnp.square(params.elementary["only"]["weight"]))
        return self.outer_loss(values, task, params, batch, key) + squares

    def outer_loss(self, values, task, params, batch, key):
        predictions = layers.dense(params["only"], batch["x"])[..., 0]
        return 0.5 * jnp.mean(jnp.square(predictions - batch["y"]))

    def dynamics(self, values):
        return optax.sgd(0.1)


def test_a_network_of_layers_trains():
    problem = SelfTuning(RegressionFamily(), Layered())
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    estimator = DirectGradient(problem, 2, 20, Endless())
    state = estimator.init(meta_params, data, KEY)
    first = jax.vmap(lambda s: problem.outer_loss(meta_params, s, data, KEY))(state.state)
    estimate, state = jax.jit(estimator.estimate)(meta_params, state, data, KEY)
    assert float(estimate.weight) == 2 and int(state.age[0]) == 20
    assert float(estimate.meta_loss) < 0.5 * float(jnp.mean(first))
    assert isinstance(problem.params(meta_params, state.state), Responsive)


class RateTuning(Ridge):
    def hyperparameters(self):
        return {**super().hyperparameters(), "rate": Hyperparameter(0.1, Positive())}


REFUSED = {
    "rates": (
        lambda: SelfTuning(RegressionFamily(), RateTuning()),
        "'rate' does not enter the inner",
    ),
    "edges": (lambda: SelfTuning(RegressionFamily(), Ridge(Box(0.0, 1.0))), "'penalty' is in Box"),
    "scale": (lambda: SelfTuning(RegressionFamily(), Ridge(), scale=0.0), "scale is 0.0"),
    "groups": (lambda: SelfTuning(RegressionFamily(), Ridge(), groups=3), "groups is 3, and a"),
    "shared": (lambda: SelfTuning(RegressionFamily(), Ridge(), shared=("x",)), "shared has 'x'"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        problem = make()
        problem.start(problem.load_data(), KEY)
