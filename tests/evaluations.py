"""Evaluations that took no training, and held-out runs by a plain loop, to compare with."""

import jax
import numpy as np
import optax

from metaopt.baselines.grid import Grid
from metaopt.evaluate import LEARNED, Evaluation, Result
from metaopt.update_cost import UpdateCost

SEEDS = (0, 1, 2)
RATES = np.asarray([0.01, 0.1, 1.0], np.float32)
ADAM = np.asarray([0.4, 0.5, 0.6], np.float32)  # loss by seed at the best rate
SCHEDULES = {"constant": 1.0, "cosine": 2.0}  # how much worse each is
FACTORS = np.asarray([3.0, 1.0, 2.0], np.float32)  # of that loss, by rate


def made_up(learned=0.5 * ADAM, test_loss=ADAM, rates: np.ndarray = RATES) -> Evaluation:
    """An evaluation of 4 steps on 3 seeds; `learned` and `test_loss` are losses by seed."""
    grids = tuple(_grid(schedule, scale, rates) for schedule, scale in SCHEDULES.items())
    return Evaluation(
        task="quadratic:dim=3",
        num_steps=4,
        seeds=SEEDS,
        stream="report",
        learned=_result(LEARNED, None, 0, np.asarray(learned, np.float32), np.asarray(test_loss)),
        baselines=(
            _result("Adam", 0.1, 9, ADAM, ADAM),
            _result("Adam + cosine", 0.1, 9, 2 * ADAM, 2 * ADAM),
        ),
        grids=grids,
    )


def _grid(schedule: str, scale: float, rates: np.ndarray) -> Grid:
    losses = np.float32(scale) * FACTORS[: len(rates), None] * ADAM[None]
    return Grid(schedule, rates, _curves(losses), losses, losses)


def _result(name, rate, tuning_runs, loss: np.ndarray, test_loss: np.ndarray) -> Result:
    return Result(name, rate, tuning_runs, _curves(loss), loss, test_loss, UpdateCost(0.25, 8.0))


def _curves(losses: np.ndarray) -> np.ndarray:
    return losses[..., None] * np.asarray([4, 3, 2, 1], np.float32)


def plain_run(family, optimizer: optax.GradientTransformation, key: jax.Array, num_steps: int):
    """The held-out run of `key` as a user of optax writes it: losses before steps, task, params."""
    data = family.load_data()
    key_init, key_steps, _ = jax.random.split(key, 3)
    key_task, key_params = jax.random.split(key_init)
    task = family.sample(data, key_task)
    params = task.init(key_params)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, key):
        key_batch, key_loss, _ = jax.random.split(key, 3)
        batch = data.sample("train", key_batch, family.batch_size)
        loss, gradients = jax.value_and_grad(task.loss)(params, batch, key_loss)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    losses = []
    for key_step in jax.random.split(key_steps, num_steps):
        params, state, loss = step(params, state, key_step)
        losses.append(float(loss))
    return np.asarray(losses), task, params
