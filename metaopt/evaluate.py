"""A learned optimizer against Adam on held-out tasks.

Adam has the best of a grid of learning rates that brackets the optimum, chosen on the very runs
that are reported: an oracle in Adam's favour. All optimizers see the same tasks, starts and
minibatches. A run that diverges counts as an infinite loss; none is dropped.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from metaopt import held_out, update_cost
from metaopt.baselines.grid import RATES, Grid, mean_loss, tune_adam
from metaopt.baselines.one_rate import SCHEDULES, Adam
from metaopt.comparison import Comparison, compare
from metaopt.held_out import Stream
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from metaopt.update_cost import UpdateCost
from taskset.base import Dataset, Params, TaskFamily
from taskset.errors import InputError

LEARNED = "learned optimizer"
MEASURES = ("final_train_loss", "trajectory_mean", "test_loss")


@dataclasses.dataclass(frozen=True)
class Result:
    """What one optimizer did on the held-out runs."""

    name: str
    learning_rate: float | None  # None where there is none to choose
    tuning_runs: int  # training runs spent on choosing it
    curves: np.ndarray  # [num_seeds, num_steps] float32, minibatch training loss before a step
    final_train_loss: np.ndarray  # [num_seeds] float32, on the whole train split
    test_loss: np.ndarray  # [num_seeds] float32, on the whole test split
    cost: UpdateCost

    @property
    def trajectory_mean(self) -> np.ndarray:
        """The mean of each curve, [num_seeds] float32."""
        return np.mean(self.curves, axis=1)

    @property
    def diverged(self) -> int:
        """How many runs met a loss that is not finite."""
        losses = (self.trajectory_mean, self.final_train_loss, self.test_loss)
        return int(np.sum(~np.all(np.isfinite(losses), axis=0)))

    def mean(self, measure: str) -> float:
        """The mean over seeds of one of `MEASURES`; inf when a run diverged."""
        return float(mean_loss(getattr(self, measure)))


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A learned optimizer beside Adam at its best constant rate, and its best with cosine decay."""

    task: str
    num_steps: int
    seeds: tuple[int, ...]
    stream: Stream
    learned: Result
    baselines: tuple[Result, ...]
    grids: tuple[Grid, ...]  # all rates that were tried, one grid for each baseline

    @property
    def results(self) -> tuple[Result, ...]:
        """The learned optimizer, then the baselines."""
        return self.learned, *self.baselines

    @property
    def best_baseline(self) -> Result:
        """The baseline with the least final train loss."""
        return min(self.baselines, key=lambda baseline: baseline.mean("final_train_loss"))

    @property
    def comparison(self) -> Comparison:
        """Final train loss of the learned optimizer against the best baseline's, paired by seed."""
        return compare(self.learned.final_train_loss, self.best_baseline.final_train_loss)

    def shortcomings(self) -> list[str]:
        """Where Adam does better, at the rate of its grid that is best for each measure."""
        lines = []
        for measure in MEASURES:
            ours = self.learned.mean(measure)
            theirs, rate, name = min(
                (loss, rate, baseline.name)
                for grid, baseline in zip(self.grids, self.baselines, strict=True)
                for loss, rate in zip(grid.means(measure), grid.rates, strict=True)
            )
            if not ours < theirs:
                words = measure.replace("_", " ")
                better = f"{name} at rate {rate:.3g} has {theirs:.4g}"
                lines.append(f"{words} {ours:.4g}, where {better}")
        if self.learned.diverged:
            lines.append(f"{self.learned.diverged} of {len(self.seeds)} runs diverged")
        return lines


def evaluate(
    family: TaskFamily,
    optimizer: LearnedOptimizer,
    meta_params: MetaParams,
    *,
    num_steps: int,
    seeds: Sequence[int] = range(16),
    stream: Stream = "report",
    task: str = "",
    data: Dataset | None = None,
    rates: Sequence[float] = RATES,
) -> Evaluation:
    """Trains the held-out runs of `seeds` with the learned optimizer, and with Adam at all `rates`.

    `num_steps` is announced to the optimizer as its horizon; `task` is a title. Raises `InputError`
    for fewer than two seeds, which give no interval.
    """
    if len(set(seeds)) < 2:
        raise InputError(f"evaluation on {len(set(seeds))} seeds; an interval needs 2, better 16")
    data = family.load_data() if data is None else data
    keys = held_out.evaluation_keys(stream, seeds)
    example = family.sample(data, keys[0]).init(keys[0])
    curves, final, test = _train(family, optimizer, meta_params, num_steps, seeds, stream, data)
    cost = update_cost.measure(optimizer.as_optax(meta_params, num_steps=num_steps), example)
    grids = tuple(tune_adam(family, data, keys, num_steps, s, rates) for s in SCHEDULES)
    return Evaluation(
        task=task or repr(family),
        num_steps=num_steps,
        seeds=tuple(seeds),
        stream=stream,
        learned=Result(LEARNED, None, 0, curves, final, test, cost),
        baselines=tuple(_best_of(grid, num_steps, example) for grid in grids),
        grids=grids,
    )


def final_losses(
    family: TaskFamily,
    optimizer: LearnedOptimizer,
    meta_params: MetaParams,
    num_steps: int,
    seeds: Sequence[int],
    stream: Stream = "selection",
    data: Dataset | None = None,
) -> np.ndarray:
    """The loss on the whole train split after `num_steps`, by held-out run: [num_seeds] float32.

    Compiled once for a family, an optimizer, and numbers of steps and seeds: made to be called
    again and again while training goes on. `data` spares the loading.
    """
    data = family.load_data() if data is None else data
    return _train(family, optimizer, meta_params, num_steps, seeds, stream, data)[1]


def _train(
    family: TaskFamily,
    optimizer: LearnedOptimizer,
    meta_params: MetaParams,
    num_steps: int,
    seeds: Sequence[int],
    stream: Stream,
    data: Dataset,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the held-out runs of one optimizer: curves, final train loss, test loss, by seed."""
    problem = OptimizerTraining(family, optimizer, num_steps=num_steps)
    keys = held_out.evaluation_keys(stream, seeds)
    setting = jax.tree.map(lambda x: jnp.asarray(x)[None], meta_params)
    runs = held_out.train(problem, setting, data, keys, num_steps)
    return (
        np.asarray(runs.curves[0]),
        np.asarray(runs.final_train_loss[0]),
        np.asarray(runs.test_loss[0]),
    )


def _best_of(grid: Grid, num_steps: int, example: Params) -> Result:
    rate = grid.rates[grid.best]
    adam = Adam(grid.schedule).as_optax({"learning_rate": jnp.asarray(rate)}, num_steps=num_steps)
    return Result(
        name="Adam" if grid.schedule == "constant" else f"Adam + {grid.schedule}",
        learning_rate=float(rate),
        tuning_runs=grid.num_runs,
        curves=grid.curves[grid.best],
        final_train_loss=grid.final_train_loss[grid.best],
        test_loss=grid.test_loss[grid.best],
        cost=update_cost.measure(adam, example),
    )
