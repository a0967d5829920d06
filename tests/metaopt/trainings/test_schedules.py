import jax
import jax.numpy as jnp
import numpy as np
import pytest

import taskset
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.trainings import Schedules
from taskset.errors import InputError

KEY = jax.random.key(0)
EVERYTHING = ("learning_rate", "decay", "penalty", "initial_scale")


def test_each_tensor_and_step_has_its_own():
    family = taskset.build("mlp:dataset=digits,hidden=3,batch_size=8")
    problem = HyperparameterTraining(family, Schedules(2, 4, EVERYTHING))
    data = family.load_data()
    meta_params = problem.start(data, KEY)
    meta_params |= {"learning_rate": jnp.log(jnp.asarray([[0.0, 0.1, 0, 0], [0.0, 0, 0, 0.2]]))}
    meta_params["initial_scale"] = jnp.log(jnp.asarray([1.0, 2.0, 3.0, 4.0]))
    start = problem.init(meta_params, data, KEY)
    plain = start.task.init(jax.random.split(KEY)[1])
    scaled = zip(jax.tree.leaves(start.params), jax.tree.leaves(plain))
    for scale, (found, expected) in zip((1, 2, 3, 4), scaled):
        np.testing.assert_allclose(found, scale * expected, rtol=1e-6)
    state, moved = start, []
    for _ in range(2):
        after = problem.advance(meta_params, state, data, KEY)
        pairs = zip(jax.tree.leaves(state.params), jax.tree.leaves(after.params))
        moved.append([bool(jnp.any(x != y)) for x, y in pairs])
        state = after
    assert moved == [[False, True, False, False], [False, False, False, True]]


def test_penalties_and_refusals():
    family = taskset.build("quadratic:dim=3")
    training = Schedules(1, 1, ("penalty",), penalty=0.5)
    task = family.sample(family.load_data(), KEY)
    params, values = jnp.asarray([1.0, 2.0, 3.0]), {"penalty": jnp.asarray([0.5])}
    added = training.inner_loss(values, task, params, None, KEY) - task.loss(params, None, KEY)
    assert float(added) == pytest.approx(0.5 * 0.5 * 14, rel=1e-4)
    with pytest.raises(
        InputError, match="num_tensors is 2, and the task has 1; use num_tensors = 1"
    ):
        Schedules(1, 2).init({}, task, KEY)
    with pytest.raises(InputError, match="tuned has 'rate'"):
        Schedules(tuned=("rate",))
    with pytest.raises(InputError, match="num_steps is 0"):
        Schedules(0)
