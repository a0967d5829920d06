import jax
import jax.numpy as jnp
import pytest
from ridge import RegressionFamily, Ridge
from toys import Line, starting_together

from metaopt.domains import Positive
from metaopt.estimators import Implicit
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.hyperparameters import Hyperparameter
from metaopt.linear_solvers import ConjugateGradient, Neumann
from taskset.errors import InputError

KEY = jax.random.key(0)


class Concave(Ridge):
    """A loss without a minimum in some directions."""

    def hyperparameters(self):
        return {"penalty": Hyperparameter(1.0, Positive())}

    def init(self, values, task, key):
        return task.init(key)

    def inner_loss(self, values, task, params, batch, key):
        curvature = jnp.asarray([1.0, -1.0] * 4)
        return 0.5 * values["penalty"] * jnp.sum(curvature * jnp.square(params["weight"] - 1.0))

    def outer_loss(self, values, task, params, batch, key):
        return task.loss(params, batch, key)

    def dynamics(self, values):
        return super().dynamics({"rate": 0.01, "decay": 0.0})


@pytest.mark.parametrize(
    "solver", [ConjugateGradient(10), Neumann(100, step=0.5)], ids=["cg", "neumann"]
)
def test_an_indefinite_hessian_is_counted_and_has_no_weight(solver):
    problem = HyperparameterTraining(RegressionFamily(), Concave(), "whole")
    estimator = Implicit(problem, 2, 3, Fixed(30), solver=solver)
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    state = starting_together(jax.jit(estimator.init)(meta_params, data, KEY))
    estimate, after = jax.jit(estimator.estimate)(meta_params, state, data, KEY)
    assert float(estimate.metrics["unsound_runs"]) == 2
    assert float(estimate.weight) == 0 and float(estimate.gradient["penalty"]) == 0
    # The runs themselves are sound, and go on; nothing of what was found is kept.
    assert bool(jnp.all(after.age < after.length)) and not bool(jnp.any(after.state.solution))


def test_other_problems_are_refused():
    with pytest.raises(InputError, match="Line has no inner loss to be stationary"):
        Implicit(Line())
