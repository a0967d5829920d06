"""Every fault of a worker, brought about in a simulated pool: what it costs, counted exactly."""

import itertools
import time

import numpy as np
import pytest

from metaopt.aggregate import Weights, WorkerResult
from metaopt.estimators import PersistentES
from metaopt.estimators.base import Estimate
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP
from metaopt.learner import Learner, meta_train
from metaopt.outer_optimizer import OuterOptimizer
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily
from workers import wire
from workers.health import MAX_FAILURES, Patience
from workers.host import Raised
from workers.remote_pool import RemotePool
from workers.simulated import Reply, SimulatedPool, Simulation, result_for
from workers.transport import Died
from workers.worker import WorkerSpec

ESTIMATOR = PersistentES(OptimizerTraining(QuadraticFamily(dim=2), PerParameterMLP()), 2, 2)
BRIEF = Patience(suspicion_slack=0.05, probe=0.05, slack=5.0, quarantine=0.01)
IMPATIENT = Patience(suspicion_slack=0.05, probe=5.0, slack=0.5)
SECONDS = 0.002  # of an estimate
NUM_STEPS = 8
GOOD = np.ones(3, np.float32)


def specs(count):
    return [WorkerSpec(index, f"task{index}", ESTIMATOR, seed=0) for index in range(count)]


def message(gradient=GOOD, memory_bytes=0):
    one = np.float32(1.0)
    estimate = Estimate({"w": gradient}, one, one, {"nonfinite_runs": np.float32(0.0)})
    return wire.pack(WorkerResult(0, "task", 0, estimate, SECONDS, memory_bytes=memory_bytes))


def good(worker, outer_step, seconds=SECONDS):
    return Reply(seconds, result_for(message(), worker, outer_step, seconds))


def other_than_good(worker, outer_step, packed):
    return Reply(SECONDS, result_for(packed, worker, outer_step, SECONDS))


def train(behaviour, num_workers=3, num_steps=NUM_STEPS, patience=BRIEF, learner={}, **options):
    """The steps of a run, and its pool as it is at the end."""
    steps = []
    outer = Learner(OuterOptimizer("sgd", 0.5), num_steps, **learner)
    with SimulatedPool(specs(num_workers), behaviour, patience=patience, **options) as pool:
        state = outer.init({"w": np.zeros(3, np.float32)})
        meta_train(outer, state, pool, on_step=steps.append)
    return steps, pool


def outcomes(steps):
    """How many estimates were used, and what became of the others."""
    used = sum(len(step.aggregate.used) for step in steps)
    rest = [d for step in steps for d in (*step.aggregate.dropped, *step.lost)]
    return used, [(d.cause, d.worker) for d in rest]


FAULTS = {  # what worker 1 does at outer step 3: its reply, under which cause, whether replaced
    "hangs": (None, "late", True),
    "dies": (Reply(SECONDS, Died("killed")), "lost", True),
    "is preempted": (Reply(SECONDS, Died("node gone", preempted=True)), "preempted", True),
    "raises": (Reply(SECONDS, Raised("KeyError", is_input_error=False)), "raised", True),
    "gives NaN": (other_than_good(1, 3, message(np.nan * GOOD)), "nonfinite", False),
    "gives other shapes": (
        other_than_good(1, 3, message(np.ones(4, np.float32))),
        "malformed",
        True,
    ),
    "answers for another step": (good(1, 2), "malformed", True),
    "sends no message": (Reply(SECONDS, {"loss": 1.0}), "malformed", True),
    "cuts its message off": (
        Reply(SECONDS, message()._replace(vector=np.ones(2, np.float32))),
        "malformed",
        True,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_estimate_and_is_counted_under_its_cause(fault):
    reply, cause, replaced = FAULTS[fault]
    struck = itertools.count()

    def behaviour(worker, outer_step):
        strikes = (worker, outer_step) == (1, 3) and next(struck) == 0
        return reply if strikes else good(worker, outer_step)

    steps, pool = train(behaviour)
    used, rest = outcomes(steps)
    assert len(steps) == NUM_STEPS
    assert rest == [(cause, 1)]
    assert pool.num_launched == 3 + replaced
    # A worker that is replaced may be back for the step in which it failed, and never later than
    # for the next: then nothing but the one estimate is missing.
    assert 3 * NUM_STEPS - 2 <= used <= 3 * NUM_STEPS - 1
    np.testing.assert_array_equal(steps[-1].state.meta_params["w"], np.full(3, -NUM_STEPS / 2))


def test_all_workers_but_one_die_at_once_and_the_run_goes_on():
    died = set()

    def behaviour(worker, outer_step):
        if worker and outer_step == 2 and worker not in died:
            died.add(worker)
            return Reply(SECONDS, Died("killed"))
        return good(worker, outer_step)

    steps, pool = train(behaviour, num_workers=6)
    assert len(steps) == NUM_STEPS
    assert sorted(outcomes(steps)[1]) == [("lost", worker) for worker in range(1, 6)]
    assert pool.states["running"] == 6


def test_a_slow_worker_is_a_suspect_gives_signs_of_life_and_keeps_its_result():
    def behaviour(worker, outer_step):
        return good(worker, outer_step, seconds=1.5 if (worker, outer_step) == (1, 1) else SECONDS)

    learner = Learner(OuterOptimizer("sgd"), num_steps=4)
    states = []
    with SimulatedPool(specs(2), behaviour, patience=BRIEF) as pool:
        take = pool._take
        pool._take = lambda *outcome: (states.append(dict(pool.states)), take(*outcome))
        steps = []
        meta_train(learner, learner.init({"w": GOOD}), pool, on_step=steps.append)
    assert outcomes(steps) == (8, [])
    assert pool.num_launched == 2
    assert any(state["suspect"] == 1 for state in states)


def test_a_worker_that_lives_and_never_answers_is_given_up():
    def behaviour(worker, outer_step):
        return good(
            worker, outer_step, seconds=100.0 if (worker, outer_step) == (1, 4) else SECONDS
        )

    began = time.monotonic()
    steps, _ = train(behaviour, patience=IMPATIENT)
    assert time.monotonic() - began < 20
    assert ("late", 1) in outcomes(steps)[1]
    assert len(steps) == NUM_STEPS


def test_a_worker_that_fails_for_good_after_results_waits_in_quarantine():
    def behaviour(worker, outer_step):
        if worker == 1 and outer_step >= 2:
            return Reply(0.0, Died("no memory"))
        return good(worker, outer_step, seconds=0.02)

    patience = Patience(quarantine=100.0)
    steps, pool = train(behaviour, num_steps=12, patience=patience)
    assert len(steps) == 12
    assert {state: n for state, n in pool.states.items() if n} == {"running": 2, "quarantined": 1}
    assert outcomes(steps)[1] == [("lost", 1)] * 3


def never(worker, outer_step):
    return Reply(0.0, Died("no memory")) if worker == 1 else good(worker, outer_step, 0.02)


def test_a_worker_that_never_gave_a_result_ends_a_run_that_needs_all():
    with pytest.raises(
        RuntimeError, match=f"1 of 3 workers were started {MAX_FAILURES} times.*memory"
    ):
        train(never, num_steps=1000)


def test_a_run_that_can_do_with_fewer_goes_on_without_it():
    steps, _ = train(never, num_steps=20, min_workers=2)
    assert len(steps) == 20
    assert {cause for cause in outcomes(steps)[1]} == {("lost", 1)}


def test_nobody_left_ends_the_run():
    def behaviour(worker, outer_step):
        return good(worker, outer_step) if outer_step < 2 else Reply(0.0, Died("no memory"))

    with pytest.raises(RuntimeError, match="3 of 3 workers were started"):
        train(behaviour)


def test_input_that_its_author_can_mend_ends_the_run_with_its_line():
    def behaviour(worker, outer_step):
        bad = worker == 1 and outer_step == 2
        return (
            Reply(0.0, Raised("no data", is_input_error=True)) if bad else good(worker, outer_step)
        )

    with pytest.raises(InputError, match="no data"):
        train(behaviour)


def test_the_slowest_are_left_behind_and_their_results_are_stale():
    def behaviour(worker, outer_step):
        return good(worker, outer_step, seconds=0.1 if worker == 2 else SECONDS)

    steps, _ = train(behaviour, num_steps=100, min_results=2)
    used, rest = outcomes(steps)
    assert all(len(step.aggregate.used) >= 2 for step in steps)
    assert used >= 200
    assert rest and set(rest) == {("stale", 2)}


def test_rounds_are_accumulated_at_the_same_weights():
    steps, _ = train(good, learner={"accumulate": 3})
    assert len(steps) == NUM_STEPS
    for step in steps:
        found = [(r.worker, r.outer_step) for r in step.aggregate.used]
        assert found == [(w, step.state.step - 1) for w in range(3) for _ in range(3)]


def test_a_worker_that_has_grown_moves_and_loses_nothing():
    def behaviour(worker, outer_step):
        grown = (worker, outer_step) == (1, 3)
        return other_than_good(worker, outer_step, message(memory_bytes=10**9 if grown else 10**6))

    steps, pool = train(behaviour, max_worker_bytes=10**8)
    assert pool.num_launched == 4
    assert outcomes(steps) == (3 * NUM_STEPS, [])


def test_a_pool_lets_workers_go_and_takes_them_in_again():
    numbers = {2: 1, 5: 3}
    alive = []

    def on_step(step):
        alive.append(pool.alive)
        if step.state.step in numbers:
            pool.resize(numbers[step.state.step])

    learner = Learner(OuterOptimizer("sgd"), NUM_STEPS)
    with SimulatedPool(specs(3), good, patience=BRIEF) as pool:
        meta_train(learner, learner.init({"w": GOOD}), pool, on_step=on_step)
        assert pool.lost() == []
        assert pool.num_launched == 5
        with pytest.raises(InputError, match="4 workers are wanted; the run can have from 1 to"):
            pool.resize(4)
    assert alive == [3, 3, 1, 1, 1, 3, 3, 3]


class Late(Simulation):
    """The second worker starts when it is let in; what workers go on from is kept."""

    def __init__(self, behaviour):
        self.given, self.let_in = {}, False
        super().__init__(behaviour)

    def submit(self, worker, method, *arguments):
        if method == "restore":
            self.given[worker] = arguments[0]
        if worker == 0 or method != "start" or self.let_in:
            super().submit(worker, method, *arguments)

    def open(self):
        self.let_in = True
        self.submit(1, "start", 0)


def test_a_worker_that_comes_late_goes_on_from_its_state():
    states = [{"num_done": np.array(3)}, {"num_done": np.array(4)}]
    learner = Learner(OuterOptimizer("sgd"), NUM_STEPS)
    late = Late(good)
    with RemotePool(late, specs(2), min_workers=1, min_results=1) as pool:
        pool.restore(states, {"w": GOOD})
        assert late.given == {0: states[0]}
        pool.broadcast(Weights(0, {"w": GOOD}, {}))
        assert [result.worker for result in pool.collect()] == [0]
        assert pool.snapshot()[1] is states[1]  # a checkpoint before it came does not lose it
        late.open()
        meta_train(learner, learner.init({"w": GOOD}), pool)
        assert late.given == dict(enumerate(states))
