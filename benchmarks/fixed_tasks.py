"""Whether every fixed task starts with a finite loss and finite gradients.

    python benchmarks/fixed_tasks.py [--json FILE]

With embedded data, and minibatches of at most 2 examples. What is in FILE is not computed again.
"""

import json as json_format
import pathlib
import time
from typing import Any

import jax
import tyro

import taskset
from metaopt.estimators.base import is_finite
from taskset.augment import SmallerBatch

LARGEST_BATCH = 2


def main(json: pathlib.Path | None = None) -> None:
    """Computes and reports."""
    done: dict[str, Any] = {}
    if json is not None and json.exists():
        done = {row["task"]: row for row in json_format.loads(json.read_text())}
    for name in taskset.fixed_names():
        if name not in done:
            done[name] = start_of(name)
            print(done[name], flush=True)
            if json is not None:
                json.write_text(json_format.dumps(list(done.values()), indent=1) + "\n")
    bad = [row["task"] for row in done.values() if not row["finite"]]
    print(f"{len(done) - len(bad)} of {len(done)} are finite; not: {', '.join(bad) or 'none'}")


def start_of(name: str) -> dict[str, Any]:
    """The loss of the initial parameters, and whether it and the gradient are finite."""
    start = time.perf_counter()
    family = SmallerBatch(taskset.NamedFamily(name), LARGEST_BATCH)

    @jax.jit
    def loss_and_finite(data: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        task = family.sample(data, key)
        batch = data.sample("train", key, family.batch_size)
        loss, gradient = jax.value_and_grad(task.loss)(task.init(key), batch, key)
        return loss, is_finite((loss, gradient))

    loss, finite = loss_and_finite(family.load_data(), jax.random.key(0))
    jax.clear_caches()
    return {
        "task": name,
        "loss": float(loss),
        "finite": bool(finite),
        "seconds": round(time.perf_counter() - start, 1),
    }


if __name__ == "__main__":
    tyro.cli(main)
