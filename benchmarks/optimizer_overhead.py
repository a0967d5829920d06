"""A step of every learned optimizer, by optax and by PyTorch, against Adam in the same run.

    python benchmarks/optimizer_overhead.py [KIND ...] [--sizes 1000000 10000000] [--json FILE]

The parameters are MLPs of about so many parameters. Optax: the update and its application, jitted
and donated as in a training loop. PyTorch: `step` alone, on one thread. Milliseconds are CPU time
of all threads, the median of five; bytes are of what is kept between steps.
"""

import gc
import itertools
import math
import pathlib
import tempfile
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import measure
import numpy as np
import optax
import torch
import tyro

import metaopt
from metaopt.learned_optimizers import KINDS
from metaopt.torch import LearnedOptimizer

NUM_LAYERS = 3  # large ones
REPEATS = 5


def main(
    kinds: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KIND")] = (),
    sizes: tuple[int, ...] = (1_000_000, 10_000_000),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Prints a row for each optimizer, size and framework."""
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            adam = row("Adam", size, by_optax(optax.adam(1e-3), size), by_torch(torch_adam, size))
            rows.append(adam)
            for kind in kinds or KINDS:
                rows.append(measured(kind, size, pathlib.Path(folder)))
            for each in rows:
                if each["parameters"] == size:
                    each["optax / Adam"] = each["optax ms"] / adam["optax ms"]
                    each["torch / Adam"] = each["torch ms"] / adam["torch ms"]
            measure.report("Steps", rows, json)


def measured(kind: str, size: int, folder: pathlib.Path) -> dict[str, Any]:
    """The row of one learned optimizer, from its export."""
    optimizer = KINDS[kind]()
    path = folder / kind
    if not path.exists():
        metaopt.export(path, optimizer, optimizer.init(jax.random.key(0)))
    loaded = metaopt.load(path, num_steps=1000, check=False)
    make = lambda params: LearnedOptimizer(params, path, num_steps=1000, check=False)
    return row(kind, size, by_optax(loaded, size), by_torch(make, size))


def row(name: str, size: int, optax_cost: Any, torch_cost: Any) -> dict[str, Any]:
    """One row of the table."""
    return {
        "optimizer": name,
        "parameters": size,
        "optax ms": optax_cost[0],
        "optax state bytes / parameter": optax_cost[1],
        "torch ms": torch_cost[0],
        "torch state bytes / parameter": torch_cost[1],
    }


def arrays(size: int) -> list[np.ndarray]:
    """Weights and biases of an MLP of about `size` parameters."""
    width = round(math.sqrt(size / NUM_LAYERS))
    draw = np.random.RandomState(0)
    layers = itertools.repeat((width, width), NUM_LAYERS)
    shapes = [shape for layer in layers for shape in (layer, layer[1:])]
    return [0.05 * draw.standard_normal(shape).astype(np.float32) for shape in shapes]


def by_optax(optimizer: optax.GradientTransformation, size: int) -> tuple[float, float]:
    """Milliseconds of a step, and bytes of state for each parameter."""
    params = [jnp.asarray(x) for x in arrays(size)]
    gradients = [0.1 * jnp.sin(1000 * x) + 0.01 for x in params]
    optimizer = optax.with_extra_args_support(optimizer)

    def step(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(gradients, state, params, value=jnp.float32(1.0))
        return optax.apply_updates(params, updates), state

    state = jax.jit(optimizer.init)(params)
    num_bytes = sum(x.nbytes for x in jax.tree.leaves(state))
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state).compile()
    carry = [compiled(params, state)]

    def call() -> Any:
        carry[0] = compiled(*carry[0])
        return carry[0]

    milliseconds = 1e3 * measure.timed(call, repeats=REPEATS).cpu
    return milliseconds, num_bytes / sum(x.size for x in gradients)


def torch_adam(params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The Adam of PyTorch, with its defaults."""
    return torch.optim.Adam(params, lr=1e-3)


def by_torch(make: Any, size: int) -> tuple[float, float]:
    """The same of an optimizer of PyTorch."""
    gc.collect()
    params = [torch.nn.Parameter(torch.tensor(x)) for x in arrays(size)]
    for param in params:
        param.grad = 0.1 * torch.sin(1000 * param.detach()) + 0.01
    optimizer = make(params)
    takes_value = isinstance(optimizer, LearnedOptimizer)
    call = (lambda: optimizer.step(value=1.0)) if takes_value else optimizer.step
    call()
    milliseconds = 1e3 * measure.timed(call, repeats=REPEATS).cpu
    kept = [x for state in optimizer.state.values() for x in state.values()]
    num_bytes = sum(x.numel() * x.element_size() for x in kept if isinstance(x, torch.Tensor))
    return milliseconds, num_bytes / sum(p.numel() for p in params)


if __name__ == "__main__":
    tyro.cli(main)
