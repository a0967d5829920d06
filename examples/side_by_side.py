"""A training run by a learned optimizer beside runs by Adam, whose rate is tuned on this very task.

    python examples/mlp.py runs/latest/export [--num-steps 500]

The table says what each took: steps, tuning runs, seconds. Adam has the best of its rates by the
loss that is shown, which is in its favour; the learned optimizer is run once, as it is.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import metaopt

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # that Adam is tried with
LAST = 20  # steps that the final loss is the mean of


@dataclasses.dataclass(frozen=True)
class Options:
    """What every example takes."""

    export: tyro.conf.Positional[str]  # folder, as `make train` writes to runs/latest/export
    num_steps: int = 500
    check: bool = True  # whether the reference trajectory of the export is run first


def compare(
    options: Options,
    init: Callable[[jax.Array], Any],
    loss_of: Callable[[Any, Any], jax.Array],
    batches: Callable[[], Iterator[Any]],
) -> None:
    """Trains with both from the same start on the same minibatches, and prints a table.

    `init(key)` are the parameters, `loss_of(params, batch)` is the loss, and `batches()` starts
    anew.
    """
    learned = metaopt.load(options.export, num_steps=options.num_steps, check=options.check)
    runs = {f"Adam, rate {rate:g}": optax.adam(rate) for rate in RATES}
    adam = {name: run(each, init, loss_of, batches, options) for name, each in runs.items()}
    best = min(adam, key=lambda name: adam[name][0])
    found = run(learned, init, loss_of, batches, options)
    report({"learned": (*found, 0), best: (*adam[best], len(RATES))}, options.num_steps)


def run(
    optimizer: optax.GradientTransformation,
    init: Callable[[jax.Array], Any],
    loss_of: Callable[[Any, Any], jax.Array],
    batches: Callable[[], Iterator[Any]],
    options: Options,
) -> tuple[float, float]:
    """The mean loss of the last steps, and the seconds after the first step, which compiles."""
    optimizer = optax.with_extra_args_support(optimizer)

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any, jax.Array]:
        loss, gradients = jax.value_and_grad(loss_of)(params, batch)
        updates, state = optimizer.update(gradients, state, params, value=loss)
        return optax.apply_updates(params, updates), state, loss

    params = init(jax.random.key(0))
    state, losses, start = optimizer.init(params), [], 0.0
    for i, batch in zip(range(options.num_steps), batches(), strict=False):
        params, state, loss = step(params, state, batch)
        losses.append(loss)
        if i == 0:
            start = time.perf_counter()
    final = float(jnp.mean(jnp.stack(losses[-LAST:])))
    return float(np.nan_to_num(final, nan=np.inf)), time.perf_counter() - start


def report(rows: dict[str, tuple[float, float, int]], num_steps: int) -> None:
    """Prints a row for each: final loss, seconds of a run, and how many runs tuned it."""
    print(f"{num_steps} steps            final loss   seconds   tuning runs")
    for name, (loss, seconds, tuning) in rows.items():
        print(f"{name:<20} {loss:>10.4f} {seconds:>9.1f} {tuning:>13}")
