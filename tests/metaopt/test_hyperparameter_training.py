import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ridge import DIM, RegressionFamily, Ridge, ridge

from metaopt.domains import Positive
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

KEY = jax.random.key(0)
DATA = RegressionFamily().load_data()


def test_a_step_descends_the_inner_loss_and_reports_the_outer_one():
    problem = ridge("descent")
    meta_params = problem.start(DATA, KEY)
    state = problem.init(meta_params, DATA, KEY)
    after, loss = problem.step(meta_params, state, DATA, KEY)
    train, valid = (jax.tree.map(np.asarray, DATA.arrays[s]) for s in ("train", "outer_valid"))
    w = np.asarray(state.params["weight"])
    gradient = train["x"].T @ (train["x"] @ w - train["y"]) / 40 + 0.1 * w
    expected = w - 0.1 * gradient
    np.testing.assert_allclose(after.params["weight"], expected, rtol=1e-4)
    residuals = valid["x"] @ expected - valid["y"]
    assert float(loss) == pytest.approx(1.2 * 0.5 * np.mean(residuals**2), rel=1e-4)


def test_minibatches_come_by_key():
    problem = ridge("descent", batches="sampled")
    meta_params = problem.start(DATA, KEY)
    state = problem.init(meta_params, DATA, KEY)
    ends = [problem.advance(meta_params, state, DATA, jax.random.key(seed)) for seed in (1, 1, 2)]
    first, again, other = (np.asarray(end.params["weight"]) for end in ends)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@dataclasses.dataclass(frozen=True)
class Plain(Training):
    """Adam of optax on any family, with a penalty on the parameters."""

    penalised: bool = True

    def hyperparameters(self):
        return {"rate": Hyperparameter(0.1, Positive()), "penalty": Hyperparameter(0.1, Positive())}

    def inner_loss(self, values, task, params, batch, key):
        penalty = values["penalty"] * jnp.sum(jnp.square(params))
        if not self.penalised:
            penalty = jax.lax.stop_gradient(penalty)
        return task.loss(params, batch, key) + penalty

    def dynamics(self, values):
        return optax.adam(values["rate"], eps_root=1e-16)


def test_any_family_and_any_optax_optimizer(standard_promotion):
    family = QuadraticFamily(4)
    problem = HyperparameterTraining(family, Plain())
    data = family.load_data()
    meta_params = problem.start(data, KEY)

    @jax.jit
    def loss(meta_params):
        state = problem.init(meta_params, data, KEY)
        for _ in range(3):
            state = problem.advance(meta_params, state, data, KEY)
        return problem.outer_loss(meta_params, state, data, KEY)

    gradient = jax.grad(loss)(meta_params)
    for name in ("rate", "penalty"):
        shifted = lambda by, name=name: loss({**meta_params, name: meta_params[name] + by})
        slope = (shifted(0.05) - shifted(-0.05)) / 0.1
        assert float(gradient[name]) == pytest.approx(float(slope), rel=0.02)


def test_a_detached_hyperparameter_is_named(standard_promotion):
    family = QuadraticFamily(4)
    problem = HyperparameterTraining(family, Plain(penalised=False))
    with pytest.raises(InputError, match="'penalty' does not reach the outer loss"):
        problem.start(family.load_data(), KEY)


def test_one_that_the_dynamics_ignore_is_detached():
    problem = ridge("descent")  # has no decay
    assert set(problem.training.hyperparameters()) == {"weight", "penalty", "rate", "scale"}
    with_decay = dataclasses.replace(problem, training=WithDecay("descent"))
    with pytest.raises(InputError, match="'decay' does not reach the outer loss"):
        with_decay.start(DATA, KEY)


class WithDecay(Ridge):
    def hyperparameters(self):
        return {**super().hyperparameters(), "decay": Hyperparameter(0.5)}


def test_families_with_late_gradients_are_refused():
    class Late(QuadraticFamily):
        gradient_delay = 2

    with pytest.raises(InputError, match="come 2 steps late"):
        HyperparameterTraining(Late(), Plain())


def test_shapes_of_values():
    problem = ridge("momentum", schedule=5)
    values = problem.values(problem.start(DATA, KEY))
    assert values["rate"].shape == (5,) and values["penalty"].shape == (DIM,)
