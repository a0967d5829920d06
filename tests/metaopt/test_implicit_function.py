"""The optimum of ridge regression, and its derivatives in both modes, against the closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ridge import DIM, RegressionFamily, Ridge

from metaopt.domains import Positive
from metaopt.estimators import Implicit
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.hyperparameters import Hyperparameter
from metaopt.implicit_function import implicit_function
from metaopt.linear_solvers import (
    GMRES,
    BiCGStab,
    ConjugateGradient,
    Neumann,
    NormalConjugateGradient,
)
from taskset.errors import InputError

pytestmark = pytest.mark.usefixtures("double_precision")

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Penalised(Ridge):
    """A penalty for each weight alone."""

    def hyperparameters(self):
        start = tuple(np.linspace(0.02, 0.5, DIM).tolist())
        return {"penalty": Hyperparameter(start, Positive(), (DIM,))}

    def init(self, values, task, key):
        return {"weight": jnp.zeros(DIM)}

    def outer_loss(self, values, task, params, batch, key):
        return task.loss(params, batch, key)

    def dynamics(self, values):
        return super().dynamics({**values, "rate": 0.3, "decay": 0.6})


PROBLEM = HyperparameterTraining(RegressionFamily(), Penalised(), "whole")


def closed_form(meta_params, data):
    """The weights, [DIM], whose gradient is zero."""
    x, y = data.arrays["train"]["x"], data.arrays["train"]["y"]
    hessian = x.T @ x / len(y) + jnp.diag(PROBLEM.values(meta_params)["penalty"])
    return jnp.linalg.solve(hessian, x.T @ y / len(y))


METHODS = {
    "conjugate_gradient": ("stationary", ConjugateGradient(DIM + 2)),
    "neumann": ("fixed_point", Neumann(200, step=1.0)),
    "normal_conjugate_gradient": ("fixed_point", NormalConjugateGradient(80)),
    "bicgstab": ("fixed_point", BiCGStab(tolerance=1e-13)),
}


def optimum(condition, solver):
    """The weights, [DIM], as a function of the meta-parameters and data."""
    estimator = Implicit(PROBLEM, 1, 200, Fixed(200), condition=condition, solver=solver)
    return lambda meta_params, data: estimator.optimum(meta_params, data, KEY).params["weight"]


@pytest.fixture(scope="module")
def given(double_precision):
    data = PROBLEM.load_data()
    return PROBLEM.start(data, KEY), data


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_both_modes_give_the_derivatives_of_the_closed_form(method, given):
    both = lambda f: lambda *given: (f(*given), jax.jacfwd(f)(*given), jax.jacrev(f)(*given))
    value, forward, reverse = jax.jit(both(optimum(*method)))(*given)
    expected, jacobian, _ = both(closed_form)(*given)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    np.testing.assert_allclose(forward["penalty"], jacobian["penalty"], atol=1e-8)
    np.testing.assert_allclose(reverse["penalty"], jacobian["penalty"], atol=1e-8)
    assert np.max(np.abs(jacobian["penalty"])) > 0.1


def test_second_derivatives_in_both_modes_over_each_other(given):
    """Of the outer loss, at a value that is returned with the gradient."""
    _, data = given

    def curvature(solve):
        def loss(meta_params):
            return jnp.sum(jnp.sin(solve(meta_params, data)))

        gradient = lambda at: jax.value_and_grad(loss)(at)[1]["penalty"]
        return lambda at: (jax.jacfwd(gradient)(at), jax.jacrev(jax.jacfwd(loss))(at)["penalty"])

    found = jax.jit(curvature(optimum(*METHODS["conjugate_gradient"])))(given[0])
    expected, _ = curvature(closed_form)(given[0])
    for hessian in found:
        np.testing.assert_allclose(hessian["penalty"], expected["penalty"], atol=1e-7)


def test_a_solver_that_factorises_takes_one_tangent_and_one_cotangent(given):
    solve = lambda given: optimum("stationary", GMRES(DIM))(*given)
    expected = jax.jacfwd(closed_form)(*given)["penalty"]
    direction = jax.random.normal(KEY, (DIM,))
    along = lambda at: solve(({"penalty": at}, given[1]))
    _, tangent = jax.jvp(along, (given[0]["penalty"],), (direction,))
    _, pull = jax.vjp(along, given[0]["penalty"])
    np.testing.assert_allclose(tangent, expected @ direction, atol=1e-8)
    np.testing.assert_allclose(pull(direction)[0], expected.T @ direction, atol=1e-8)


def test_any_equation_and_what_it_closes_over():
    """x^3 + a x = b, for each a."""
    a, b = jnp.asarray([1.0, 2.0, 0.5]), 3.0

    def root(a, b):
        zero = lambda a, x: x**3 + a * x - b
        at = jnp.ones(3)
        for _ in range(20):
            at = at - zero(a, at) / (3 * at**2 + a)
        return implicit_function(zero, a, at, ConjugateGradient(3), symmetric=True)

    x = root(a, b)
    by_a, by_b = jax.jacrev(root, argnums=(0, 1))(a, b)
    np.testing.assert_allclose(by_a, jnp.diag(-x / (3 * x**2 + a)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(by_b, 1 / (3 * x**2 + a), rtol=1e-10)
    np.testing.assert_allclose(jax.jacfwd(root, argnums=1)(a, b), by_b, rtol=1e-10)


def test_an_unsound_solution_is_not_a_number():
    zero = lambda a, x: a - jnp.square(x)  # its derivative at 1 is negative
    root = lambda a: implicit_function(zero, a, jnp.ones(2), ConjugateGradient(3), symmetric=True)
    value, tangent = jax.jvp(root, (1.0,), (1.0,))
    assert np.all(value == 1) and np.all(np.isnan(tangent))


def test_what_has_no_part_in_the_optimum_is_refused():
    problem = HyperparameterTraining(RegressionFamily(), Ridge("descent"), "whole")
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    with pytest.raises(InputError, match="'weight' has no part in where training ends"):
        Implicit(problem, 1, 3, Fixed(3)).optimum(meta_params, data, KEY)
