"""One optimizer update on an MLP of 1,002,570 parameters, against optax.adam in the same run.

    python benchmarks/apply.py [--json FILE]

The update alone, jitted and donated as in a training loop: CPU time of all threads, wall time, both
as multiples of Adam's, bytes of optimizer state per parameter, and seconds of CPU to compile.
"""

import itertools
import pathlib
import time
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import measure
import optax
import tyro

from metaopt.learned_optimizers import KINDS

WIDTHS = (784, 1024, 192, 10)


def main(json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None) -> None:
    """Measures every learned optimizer and Adam."""
    candidates: dict[str, optax.GradientTransformation] = {"optax.adam": optax.adam(1e-3)}
    for name, kind in KINDS.items():
        candidates[name] = kind().as_optax(kind().init(jax.random.key(0)))
    rows = [one_optimizer(name, optimizer) for name, optimizer in candidates.items()]
    adam = rows[0]
    for row in rows:
        row["CPU / Adam"] = row["CPU ms"] / adam["CPU ms"]
        row["wall / Adam"] = row["wall ms"] / adam["wall ms"]
    measure.report(f"One update, {sum(sizes()):,} parameters", rows, json)


def sizes() -> list[int]:
    """The number of elements of every tensor."""
    return [n for i, o in itertools.pairwise(WIDTHS) for n in (i * o, o)]


def one_optimizer(name: str, optimizer: optax.GradientTransformation) -> dict[str, Any]:
    """The row of one optimizer."""
    layers = list(itertools.pairwise(WIDTHS))
    keys = jax.random.split(jax.random.key(0), len(layers))
    params = [
        {"weight": 0.05 * jax.random.normal(key, layer), "bias": jnp.zeros(layer[1])}
        for key, layer in zip(keys, layers, strict=True)
    ]
    gradients = jax.tree.map(lambda x: 0.1 * jnp.sin(1000 * x) + 0.01, params)

    def step(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    num_bytes = sum(x.nbytes for x in jax.tree.leaves(state))
    cpu = time.process_time()
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state).compile()
    compile_seconds = time.process_time() - cpu
    carry = [compiled(params, state)]

    def call() -> Any:
        carry[0] = compiled(*carry[0])
        return carry[0]

    timing = measure.timed(call, repeats=30)
    return {
        "optimizer": name,
        "CPU ms": 1e3 * timing.cpu,
        "wall ms": 1e3 * timing.wall,
        "state bytes / parameter": num_bytes / sum(sizes()),
        "compile CPU s": compile_seconds,
    }


if __name__ == "__main__":
    tyro.cli(main)
