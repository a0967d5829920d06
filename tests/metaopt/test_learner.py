"""The outer update, the loop around it, and that the two together learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.aggregate import Dropped, WorkerResult
from metaopt.estimators import PersistentES
from metaopt.estimators.base import Estimate
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.base import LearnedOptimizer
from metaopt.learner import MAX_EMPTY_ROUNDS, Learner, meta_train
from metaopt.normalize import LossScale
from metaopt.outer_optimizer import OuterOptimizer
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily
from workers.local import InProcessPool
from workers.worker import WorkerSpec

START = {"w": np.asarray([1.0, -2.0], np.float32), "b": np.float32(0.5)}
GRADIENT = {"w": np.asarray([4.0, -8.0], np.float32), "b": np.float32(2.0)}
SGD = OuterOptimizer("sgd", learning_rate=0.25)


def estimate(gradient=GRADIENT, weight=1.0):
    return Estimate(gradient, np.float32(3.0), np.float32(weight), {})


def usable(outer_step, worker=0):
    return WorkerResult(worker, "task", outer_step, estimate(), 0.1)


def unusable(outer_step, worker=0):
    return WorkerResult(worker, "task", outer_step, estimate(weight=0.0), 0.1)


class ScriptedPool:
    """Hands out what `script(weights, round)` returns: results, and what was lost."""

    def __init__(self, script):
        self.script, self.rounds, self.broadcasts = script, 0, []

    def broadcast(self, weights):
        self.broadcasts.append(weights)

    def collect(self):
        results, self._lost = self.script(self.broadcasts[-1], self.rounds)
        self.rounds += 1
        return results

    def lost(self):
        return self._lost


def run(script, num_steps=3, **arguments):
    """The last state, the pool, and every `OuterStep`."""
    learner, pool, steps = Learner(SGD, num_steps), ScriptedPool(script), []
    state = meta_train(learner, learner.init(START), pool, on_step=steps.append, **arguments)
    return state, pool, steps


def test_one_step_of_gradient_descent_by_hand():
    learner = Learner(SGD, num_steps=10)
    scales = {"task": LossScale(np.float32(2.0), np.float32(1.0))}
    before = learner.init(START, scales)
    after = learner.update(before, estimate())
    assert (before.step, after.step) == (0, 1)
    np.testing.assert_array_equal(after.meta_params["w"], [0.0, 0.0])
    np.testing.assert_array_equal(after.meta_params["b"], 0.0)
    np.testing.assert_array_equal(before.meta_params["w"], START["w"])
    assert after.loss_scales is scales


def test_what_is_not_trained_stays_as_it_is_and_its_gradient_counts_for_nothing():
    optimizer = OuterOptimizer("sgd", learning_rate=0.25, weight_decay=0.5, clip_norm=1.0)
    learner = Learner(optimizer, num_steps=10, train=("b",))
    after = learner.update(learner.init(START), estimate())
    np.testing.assert_array_equal(after.meta_params["w"], START["w"])
    # Clipped to 1 by itself; the weight decay is 0.5 * 0.5.
    np.testing.assert_allclose(after.meta_params["b"], 0.5 - 0.25 * (1.0 + 0.25), rtol=1e-6)
    with pytest.raises(InputError, match="train 'c'"):
        Learner(optimizer, train=("c",)).init(START)


def test_a_step_out_of_the_domain_is_put_back():
    clip = lambda meta_params: {**meta_params, "w": np.clip(meta_params["w"], -1.5, 0.5)}
    script = lambda weights, round: ([usable(weights.outer_step)], [])
    state, pool, _ = run(script, 2, project=clip)
    np.testing.assert_array_equal(pool.broadcasts[1].meta_params["w"], [0.0, 0.0])
    np.testing.assert_array_equal(state.meta_params["w"], [-1.0, 0.5])
    np.testing.assert_array_equal(state.meta_params["b"], -0.5)


def test_the_state_of_the_outer_optimizer_goes_from_step_to_step():
    learner = Learner(dataclasses.replace(SGD, options=(("momentum", 0.5),)), num_steps=10)
    state = learner.init(START)
    for _ in range(2):
        state = learner.update(state, estimate())
    # Velocities 4 and 6: 1 - 0.25 * (4 + 6).
    assert state.meta_params["w"][0] == -1.5


def test_it_runs_until_its_steps_are_done_and_broadcasts_each_state():
    state, pool, steps = run(lambda weights, _: ([usable(weights.outer_step)], ()))
    assert state.step == 3
    assert [weights.outer_step for weights in pool.broadcasts] == [0, 1, 2]
    assert [step.state.step for step in steps] == [1, 2, 3]
    assert steps[-1].state is state
    sent = [float(weights.meta_params["b"]) for weights in pool.broadcasts]
    assert sent == [0.5, 0.0, -0.5]


def test_nothing_is_left_to_do_for_a_state_at_the_end():
    learner = Learner(SGD, num_steps=0)
    pool = ScriptedPool(lambda *_: pytest.fail("no step is left"))
    state = learner.init(START)
    assert meta_train(learner, state, pool) is state


def test_on_step_ends_the_run_by_returning_true():
    learner = Learner(SGD, num_steps=10)
    pool = ScriptedPool(lambda weights, _: ([usable(weights.outer_step)], ()))
    state = meta_train(
        learner, learner.init(START), pool, on_step=lambda step: step.state.step == 2
    )
    assert (state.step, pool.rounds) == (2, 2)


@pytest.mark.parametrize(("max_staleness", "num_rounds"), [(0, 4), (1, 3)])
def test_stale_results_are_dropped_and_the_round_goes_on(max_staleness, num_rounds):
    """One round brings a result one step old, when there is one."""

    def script(weights, round_):
        return [usable(weights.outer_step - 1 if round_ == 1 else weights.outer_step)], ()

    state, pool, steps = run(script, max_staleness=max_staleness)
    assert (state.step, pool.rounds) == (3, num_rounds)
    dropped = [step.aggregate.dropped for step in steps]
    expected = () if max_staleness else (Dropped("stale", 0, "task", 1),)
    assert dropped == [(), expected, ()]


def test_what_was_lost_or_dropped_in_empty_rounds_is_told_once_with_the_next_step():
    lost = Dropped("lost", 1, "task", 0)

    def script(weights, round_):
        if round_ < 2:
            return [unusable(weights.outer_step)], (lost,)
        return [usable(weights.outer_step)], ()

    _, pool, steps = run(script)
    assert pool.rounds == 5
    assert steps[0].lost == (lost, lost)
    assert steps[0].aggregate.dropped == 2 * (Dropped("nonfinite", 0, "task", 0),)
    assert steps[1].lost == steps[1].aggregate.dropped == ()


def test_endless_failure_is_an_error_that_names_the_causes():
    script = lambda weights, _: ([unusable(weights.outer_step)], (Dropped("late", 1, "task", 0),))
    learner, pool = Learner(SGD, num_steps=3), ScriptedPool(script)
    with pytest.raises(RuntimeError, match=r"outer step 0: no usable result in 100 rounds.*late"):
        meta_train(learner, learner.init(START), pool)
    assert pool.rounds == MAX_EMPTY_ROUNDS
    why = lambda weights, _: ([unusable(weights.outer_step)._replace(explanation="too long")], ())
    with pytest.raises(RuntimeError, match=r"\['nonfinite'.*\]; too long$"):
        run(why)


def test_empty_rounds_are_counted_anew_after_each_step():
    def script(weights, round_):
        return ([usable(weights.outer_step)] if round_ % 99 == 98 else []), ()

    state, pool, _ = run(script)
    assert (state.step, pool.rounds) == (3, 3 * 99)


@dataclasses.dataclass(frozen=True)
class LearnableSGD(LearnedOptimizer):
    """Gradient descent; the meta-parameter is the logarithm of the learning rate."""

    def init(self, key):
        return jnp.float32(np.log(0.01))

    def as_optax(self, meta_params, *, num_steps=None):
        update = lambda gradients, state, params=None, **extra_args: (
            jax.tree.map(lambda g: -jnp.exp(meta_params) * g, gradients),
            state,
        )
        return optax.GradientTransformationExtraArgs(lambda params: (), update)


PROBLEM = OptimizerTraining(QuadraticFamily(dim=3), LearnableSGD())


@jax.jit
def mean_losses(meta_params):
    """The mean loss of whole runs, for 256 tasks that the training does not see, [256]."""

    def one_run(key):
        key_init, key_steps = jax.random.split(key)
        data = PROBLEM.load_data()
        step = lambda state, key: PROBLEM.step(meta_params, state, data, key)
        start = PROBLEM.init(meta_params, data, key_init)
        return jnp.mean(jax.lax.scan(step, start, jax.random.split(key_steps, 20))[1])

    return jax.vmap(one_run)(jax.random.split(jax.random.key(99), 256))


def test_meta_training_finds_a_better_learning_rate():
    estimator = PersistentES(PROBLEM, 16, 5, Fixed(20), stddev=0.1)
    specs = [WorkerSpec(index, "quadratic", estimator, seed=0) for index in range(2)]
    learner = Learner(OuterOptimizer("adam", learning_rate=0.1), num_steps=50)
    start = learner.init(LearnableSGD().init(jax.random.key(0)))
    with InProcessPool(specs) as pool:
        end = meta_train(learner, start, pool)
    before, after = (np.asarray(mean_losses(s.meta_params)) for s in (start, end))
    gain = before - after
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
    assert after.mean() < 0.5 * before.mean()
    assert 0.1 < np.exp(end.meta_params) < 2  # where curvatures of 0.1 to 1 are stable
