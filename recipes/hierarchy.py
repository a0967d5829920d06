"""Does an LSTM per tensor help an MLP per parameter?

    python recipes/hierarchy.py [--json FILE]

`Hierarchical` with an LSTM of 16 units and an MLP of 16, and `PerParameterMLP`, an MLP of 16 alone,
are meta-trained on the same 16 tasks of recipes/small_tasks.py for equally many outer steps. Metz
et al. 2020 (https://arxiv.org/abs/2009.11243, section 4.1): the hierarchical one reaches the lower
outer loss. Reproduction R15 of docs/reproductions.md.
"""

import json as json_module
import pathlib
import time
from typing import Annotated, Any

import jax
import more_tasks
import numpy as np
import outer_training
import tyro
from small_tasks import SmallTasks

from metaopt.learned_optimizers import Hierarchical, LearnedOptimizer, PerParameterMLP

TASKS, LAST = SmallTasks(first=0, number=16), 50
OPTIMIZERS: dict[str, LearnedOptimizer] = {
    "hierarchical": Hierarchical(lstm_size=16, hidden_size=16, step_multiplier=0.01),
    "flat": PerParameterMLP(hidden_size=16, step_multiplier=0.01),
}


def main(
    num_steps: int = 200,
    learning_rate: float = 3e-3,
    seeds: tuple[int, ...] = (0, 1, 2),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains both for every seed; prints outer losses at the end and losses on held-out tasks."""
    others = more_tasks.Scale(more_tasks.HELD_OUT)
    rows: list[dict[str, Any]] = []
    for name, optimizer in OPTIMIZERS.items():
        estimator = more_tasks.estimator(TASKS, optimizer)
        for seed in seeds:
            begun = time.process_time()
            start = optimizer.init(jax.random.key(seed))
            found = outer_training.train([estimator], start, seed, num_steps, learning_rate)
            losses = others.normalized(optimizer, found.meta_params)
            row = {
                "optimizer": name,
                "seed": seed,
                "outer losses": np.asarray(found.losses).tolist(),
                "outer loss at the end": float(np.mean(found.losses[-LAST:])),
                "held out": losses.tolist(),
                "held out, median": float(np.median(losses)),
                "CPU seconds": time.process_time() - begun,
            }
            rows.append(row)
            print({k: v for k, v in row.items() if not isinstance(v, list)}, flush=True)
    if json:
        json.write_text(json_module.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
