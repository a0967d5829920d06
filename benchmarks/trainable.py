"""Which sampled configurations train at all.

    python benchmarks/trainable.py [--families mlp_family ...] [--json FILE]

Adam at three rates, 200 steps, on the first configurations of each family that can be built, with
embedded data and minibatches of at most 16 examples. A configuration trains when, at one of the
rates, the loss after the last step, over 16 minibatches, is below that before the first. What is in
FILE is not computed again.
"""

import json as json_format
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import measure
import numpy as np
import optax
import tyro

import taskset
from metaopt.estimators.base import is_finite
from taskset.augment import SmallerBatch
from taskset.base import Dataset, Key, TaskFamily

RATES = (1e-4, 1e-3, 1e-2)
NUM_STEPS = 200
NUM_MINIBATCHES = 16
LARGEST_BATCH = 16


def main(
    families: tuple[str, ...] = taskset.names(),
    num: int = 20,  # configurations of each family
    json: pathlib.Path | None = None,
) -> None:
    """Trains and reports."""
    done: dict[str, Any] = {}
    if json is not None and json.exists():
        done = {row["task"]: row for row in json_format.loads(json.read_text())["tasks"]}
    for family in families:
        for name in names_of(family, num):
            if name not in done:
                done[name] = train(name)
                print(done[name], flush=True)
                _save(json, done, [])
    rows = [summary(family, [done[name] for name in names_of(family, num)]) for family in families]
    measure.report(f"Adam, {NUM_STEPS} steps, {num} configurations of each family", rows, None)
    _save(json, done, rows)


def _save(path: pathlib.Path | None, done: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    if path is not None:
        content = {"rates": RATES, "families": rows, "tasks": list(done.values())}
        path.write_text(json_format.dumps(content, indent=1) + "\n")


def names_of(family: str, num: int) -> list[str]:
    """The first `num` tasks of `family` that can be built."""
    names = (f"{family}_seed{seed}" for seed in range(1000))
    return [name for name in names if taskset.feasible(name)][:num]


def train(name: str) -> dict[str, Any]:
    """The loss before and after, and whether loss and gradient were finite at the start."""
    start = time.perf_counter()
    family = SmallerBatch(taskset.NamedFamily(name), LARGEST_BATCH)
    data = family.load_data()
    before, after, finite = _train_at(family, jnp.asarray(RATES), data, jax.random.key(0))
    jax.clear_caches()
    after = np.where(np.isfinite(after), after, np.inf)
    return {
        "task": name,
        "before": float(before),
        "after": float(np.min(after)),
        "rate": RATES[int(np.argmin(after))],
        "finite at start": bool(finite),
        "trains": bool(np.min(after) < before),
        "seconds": round(time.perf_counter() - start, 1),
    }


def summary(family: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of a family."""
    failed = [row["task"].removeprefix(f"{family}_") for row in rows if not row["trains"]]
    return {
        "family": family,
        "train": f"{len(rows) - len(failed)} of {len(rows)}",
        "finite at start": sum(row["finite at start"] for row in rows),
        "do not": ", ".join(failed) or "-",
    }


def _train_at(family: TaskFamily, rates: jax.Array, data: Dataset, key: Key) -> Any:
    key_task, key_params, key_steps, key_end = jax.random.split(key, 4)

    def step(task: Any, optimizer: Any, carry: Any, key: Key) -> tuple[Any, None]:
        params, state = carry
        updates, state = optimizer.update(_gradient(family, task, data, params, key), state, params)
        return (optax.apply_updates(params, updates), state), None

    def run(rate: jax.Array) -> Any:
        task = family.sample(data, key_task)
        params = task.init(key_params)
        optimizer = optax.adam(rate)
        keys = jax.random.split(key_steps, NUM_STEPS)
        carry = (params, optimizer.init(params))
        (after, _), _ = jax.lax.scan(lambda c, k: step(task, optimizer, c, k), carry, keys)
        gradient = _gradient(family, task, data, params, key_end)
        losses = [_mean_loss(family, task, data, p, key_end) for p in (params, after)]
        return *losses, is_finite((losses[0], gradient))

    before, after, finite = jax.jit(jax.vmap(run))(rates)
    return before[0], after, finite[0]


def _loss(family: TaskFamily, task: Any, data: Dataset, params: Any, key: Key) -> jax.Array:
    key_batch, key_loss = jax.random.split(key)
    return task.loss(params, data.sample("train", key_batch, family.batch_size), key_loss)


def _gradient(family: TaskFamily, task: Any, data: Dataset, params: Any, key: Key) -> Any:
    return jax.grad(lambda params: _loss(family, task, data, params, key))(params)


def _mean_loss(family: TaskFamily, task: Any, data: Dataset, params: Any, key: Key) -> jax.Array:
    keys = jax.random.split(key, NUM_MINIBATCHES)
    return jnp.mean(jax.lax.map(lambda key: _loss(family, task, data, params, key), keys))


if __name__ == "__main__":
    tyro.cli(main)
