"""Implicit differentiation: the gradient at the end of training, whatever led there.

Where training has come to a point w that solves c(theta, w) = 0, the point moves with theta so that
it still does, and the outer loss F with it:

    dF/dtheta = partial F/partial theta - q (partial c/partial theta),
    with q (partial c/partial w) = partial F/partial w.

c is the gradient of the inner loss, or w - step(w). Larsen et al. 1996; Pedregosa 2016
(https://arxiv.org/abs/1602.02355); Lorraine et al. 2020 (https://arxiv.org/abs/1911.02590). It
takes no memory of the run, and does not see what only the way depends on: learning rates, starts.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metaopt.attachment import is_detached
from metaopt.estimators import runs
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, is_finite, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.truncated import TruncatedEstimator
from metaopt.estimators.whole_runs import RunKeys
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.implicit_function import implicit_function
from metaopt.inner_problem import InnerState
from metaopt.learned_optimizers.base import MetaParams
from metaopt.linear_solvers import ConjugateGradient, Operator, Solution, Solver
from metaopt.normalize import Normalization, check_differentiable, normalize
from metaopt.real_leaves import real_leaves, with_real_leaves
from taskset.base import Dataset, Key
from taskset.errors import InputError


class Solved(NamedTuple):
    """The state of a run, and the last solution, which the next begins with."""

    state: InnerState
    solution: jax.Array  # q, [size]


class Condition(NamedTuple):
    """What a run has solved at its end, as a function of one vector, [size]."""

    at: jax.Array  # the vector of the end
    state: Callable[[jax.Array], InnerState]  # that a vector stands for
    zero: Callable[[MetaParams, jax.Array], jax.Array]  # c(theta, vector), [size]
    outer_loss: Callable[[MetaParams, jax.Array], Any]  # normalised; and as it is


@dataclasses.dataclass(frozen=True)
class Implicit(TruncatedEstimator):
    """Differentiates the outer loss at the end of every truncation, as if runs had converged.

    Runs go on between calls, so the start of a truncation is the optimum for the meta-parameters
    before. Of a HyperparameterTraining; `condition` says what its runs solve: the gradient of the
    inner loss is zero ("stationary"), or a step changes nothing ("fixed_point"), which takes any
    dynamics, and a solver for matrices that are not symmetric: Neumann with step 1, GMRES, BiCGStab
    or NormalConjugateGradient. Batches had better be whole.

    `metrics`, sums over runs: "stationarity", the norm of c; "residual", of the solver, relative;
    "unsound_runs", whose solver diverged or met negative curvature. Those have no weight.

    Raises `InputError` for other problems, and `estimate` for a hyper-parameter that no derivative
    leads from to the condition or the outer loss.
    """

    truncation: int = 50
    normalization: Normalization = "none"
    condition: Literal["stationary", "fixed_point"] = "stationary"
    solver: Solver = ConjugateGradient()

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)
        if not isinstance(self.problem, HyperparameterTraining):
            raise InputError(
                f"{type(self.problem).__name__} has no inner loss to be stationary; "
                "use a HyperparameterTraining"
            )

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self.truncation

    def optimum(self, meta_params: MetaParams, data: Dataset, key: Key) -> InnerState:
        """The end of `truncation` steps of a new run, as if it had converged.

        Its derivatives by `meta_params`, of any order and in forward and reverse mode, are those of
        the point that solves `condition`: of the parameters, and of the averages of the optimizer
        if that is "fixed_point". They are NaN where the solver is not sound. The key decides the
        run, as for estimators of whole runs. Raises `InputError` as `estimate` does.
        """
        keys = RunKeys.split(key, self.truncation)
        fixed, data = jax.lax.stop_gradient((meta_params, data))
        start = self.problem.init(fixed, data, keys.init)
        end = runs.last_state(self.problem, fixed, start, data, keys.steps)
        condition = self._condition(end, data, keys.final, Context())
        self._check_attached(meta_params, condition)
        symmetric = self.condition == "stationary"
        solved = implicit_function(
            condition.zero, meta_params, condition.at, self.solver, symmetric
        )
        return condition.state(solved)

    def _start(self, meta_params: MetaParams, data: Dataset) -> runs.Start:
        def start(key: Key) -> Solved:
            state = self.problem.init(meta_params, data, key)
            return Solved(state, jnp.zeros_like(self._vector(state)))

        return start

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        def train(run: runs.Run, key: Key) -> runs.Run:
            key_start, key_steps = jax.random.split(key)
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            keys = jax.random.split(key_steps, self.truncation)
            end = runs.last_state(self.problem, meta_params, run.state.state, data, keys)
            return run._replace(state=run.state._replace(state=end))

        def differentiate(inputs: tuple[runs.Run, Key]):
            run, key = inputs
            return self._differentiate(meta_params, run, data, key, context)

        key_train, key_loss = jax.random.split(key)
        keys_train, keys_loss = (split_over_tasks(k, self.num_tasks) for k in (key_train, key_loss))
        state = over_tasks(train, state, keys_train)
        # One after another, for solvers factorise matrices.
        results = jax.lax.map(differentiate, (state, keys_loss))
        state, gradients, losses, usable, metrics = results
        estimate = mean_of_runs(gradients, losses, usable)
        more = {name: jnp.sum(metric) for name, metric in metrics.items()}
        return estimate._replace(metrics=estimate.metrics | more), state

    def _differentiate(
        self, meta_params: MetaParams, run: runs.Run, data: Dataset, key: Key, context: Context
    ):
        """The run after the truncation, its gradient, loss, whether it is usable, and metrics."""
        condition = self._condition(run.state.state, data, key, context)
        self._check_attached(meta_params, condition)
        zero, pull = jax.vjp(condition.zero, meta_params, condition.at)
        gradients = jax.grad(condition.outer_loss, argnums=(0, 1), has_aux=True)
        (direct, of_end), loss = gradients(meta_params, condition.at)
        solution = self._solve(meta_params, condition, pull, of_end, run.state.solution)
        indirect, _ = pull(solution.x)
        gradient = jax.tree.map(jnp.subtract, direct, indirect)
        usable = jnp.isfinite(loss) & is_finite(gradient) & solution.sound
        metrics = {
            "stationarity": jnp.linalg.norm(zero),
            "residual": solution.residual,
            "unsound_runs": ~solution.sound,
        }
        solved = run.state._replace(solution=jnp.where(usable, solution.x, 0))
        # A solution that is none says nothing of the run, which ends with its loss alone.
        after = runs.advance(run, solved, self.truncation, jnp.isfinite(loss))
        metrics = {name: metric.astype(jnp.float32) for name, metric in metrics.items()}
        return after, gradient, loss, usable, metrics

    def _solve(
        self,
        meta_params: MetaParams,
        condition: Condition,
        pull: Callable[[jax.Array], tuple[MetaParams, jax.Array]],
        of_end: jax.Array,
        guess: jax.Array,
    ) -> Solution:
        along = lambda at: condition.zero(meta_params, at)
        _, jacobian = jax.linearize(along, condition.at)
        if self.condition == "stationary":  # a Hessian is its own transpose
            return self.solver.solve(Operator(jacobian, jacobian), of_end, guess)
        transposed = Operator(lambda v: pull(v)[1], jacobian)
        return self.solver.solve(transposed, of_end, guess)

    def _unknowns(self, state: InnerState) -> Any:
        """What of a state the condition determines."""
        if self.condition == "stationary":
            return [state.params]
        return [state.params, real_leaves(state.opt_state)]

    def _vector(self, state: InnerState) -> jax.Array:
        return ravel_pytree(self._unknowns(state))[0]

    def _condition(self, state: InnerState, data: Dataset, key: Key, context: Context) -> Condition:
        problem = cast(HyperparameterTraining, self.problem)
        key_step, key_final = jax.random.split(key)
        at, unravel = ravel_pytree(self._unknowns(state))

        def state_of(vector: jax.Array) -> InnerState:
            params, *real = unravel(vector)
            opt_state = with_real_leaves(state.opt_state, *real) if real else state.opt_state
            return InnerState(state.task, params, opt_state)

        def zero(meta_params: MetaParams, vector: jax.Array) -> jax.Array:
            of = state_of(vector)
            if self.condition == "fixed_point":
                return vector - self._vector(problem.advance(meta_params, of, data, key_step))
            loss = lambda params: problem.inner_loss(meta_params, of.task, params, data, key_step)
            return ravel_pytree(jax.grad(loss)(of.params))[0]

        def outer_loss(meta_params: MetaParams, vector: jax.Array):
            loss = problem.outer_loss(meta_params, state_of(vector), data, key_final)
            return normalize(loss, self.normalization, context.loss_scale), loss

        return Condition(at, state_of, zero, outer_loss)

    def _check_attached(self, meta_params: MetaParams, condition: Condition) -> None:
        def reached(meta_params: MetaParams):
            return condition.zero(meta_params, condition.at), condition.outer_loss(
                meta_params, condition.at
            )

        for name in meta_params:
            if is_detached(reached, meta_params, name):
                raise InputError(
                    f"hyper-parameter {name!r} has no part in where training ends, only in how it "
                    "gets there, and implicit differentiation gives zero for it; use FullBackprop, "
                    "ReversibleBackprop or ForwardMode"
                )
