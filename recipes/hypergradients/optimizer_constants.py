"""The step multiplier of a learned optimizer, tuned for a task that it has not seen.

    python recipes/hypergradients/optimizer_constants.py [--json FILE] [--picture FILE]

A `FactoredMLP` is meta-trained for 300 outer steps on a small MLP. Then it is the inner optimizer
of another: what it has learned stays, and the two multipliers of its steps, which nobody learns
otherwise, follow the hyper-gradient of the final held-out loss, in forward mode. Beside them a grid
of one of the two, the multiplier of all steps.
"""

import dataclasses
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import trained, tuned

from metaopt import exports, hyperparameters
from metaopt.domains import Positive
from metaopt.estimators import ForwardMode, PersistentES
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP, MetaParams
from metaopt.learner import Learner, OuterStep, meta_train
from metaopt.outer_optimizer import OuterOptimizer
from taskset.families.mlp import MLPFamily
from workers.local import InProcessPool
from workers.worker import WorkerSpec

NUM_STEPS, NUM_OUTER_STEPS = 50, 40
OPTIMIZER = OuterOptimizer(learning_rate=0.1)
SEEN, NEW = MLPFamily(hidden=(32,)), MLPFamily(hidden=(64, 64), batch_size=128)
GRID = np.geomspace(1e-4, 3e-2, 11)


def meta_trained(path: pathlib.Path) -> None:
    """Writes an export to `path`."""
    problem = OptimizerTraining(SEEN, FactoredMLP(), num_steps=200)
    estimator = PersistentES(problem, 8, truncation=20, horizon=Fixed(200))
    learner = Learner(OuterOptimizer(learning_rate=3e-3, clip=0.1), 300)
    start = learner.init(FactoredMLP().init(jax.random.key(0)))
    pool = InProcessPool([WorkerSpec(0, "seen", estimator, seed=0)])
    exports.export(path, FactoredMLP(), meta_train(learner, start, pool).meta_params)


@dataclasses.dataclass(frozen=True)
class ByExport(Training):
    """Training by the learned optimizer at `path`, whose multipliers are tuned."""

    path: str
    step_multiplier: float = FactoredMLP.step_multiplier
    exp_multiplier: float = FactoredMLP.exp_multiplier

    def hyperparameters(self) -> Hyperparameters:
        names = "step_multiplier", "exp_multiplier"
        return {name: Hyperparameter(getattr(self, name), Positive()) for name in names}

    def dynamics(self, values: Values) -> optax.GradientTransformationExtraArgs:
        found = exports.read(self.path)
        optimizer = dataclasses.replace(found.optimizer, **values)
        return optimizer.as_optax(found.meta_params, num_steps=NUM_STEPS)


def loss_after(problem: HyperparameterTraining, meta_params: MetaParams) -> float:
    """Mean of four runs, whose seeds are not tuned on."""
    data, key = problem.load_data(), jax.random.key(0)
    task, batch = problem.family.sample(data, key), data.whole("test")
    ends = [trained(problem, meta_params, NUM_STEPS, seed) for seed in range(1000, 1004)]
    return float(np.mean([task.loss(params, batch, key) for params in ends]))


def tuned_at(path: pathlib.Path) -> Outcome:
    """Losses of the optimizer at `path` before and after, and of the grid."""
    problem = HyperparameterTraining(NEW, ByExport(str(path)))
    method = ForwardMode(problem, 4, Fixed(NUM_STEPS), normalization="log")
    paths: dict[str, list[object]] = {name: [] for name in problem.hyperparameters()}

    def note(step: OuterStep, _: object) -> None:
        for name, value in problem.values(step.state.meta_params).items():
            paths[name].append(value)

    begun = hyperparameters.start(problem.hyperparameters(), jax.random.key(0))
    learned = tuned(method, OPTIMIZER, NUM_OUTER_STEPS, note)
    at = lambda multiplier: {**begun, "step_multiplier": jnp.float32(np.log(multiplier))}
    grid = [loss_after(problem, at(multiplier)) for multiplier in GRID]
    best = int(np.argmin(grid))
    return {
        "results": {
            "test_loss_before": loss_after(problem, begun),
            "test_loss_after": loss_after(problem, learned),
            "best_of_grid": grid[best],
            "multiplier_of_grid": GRID[best],
            **{name: path[-1] for name, path in paths.items()},
        },
        "grid": grid,
        "paths": paths,
    }


def run() -> Outcome:
    """What `tuned_at` says of a newly meta-trained one."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "export"
        meta_trained(path)
        return tuned_at(path)


def draw(outcome: Outcome, figure: Figure) -> None:
    """The multipliers by outer step, and test losses beside those of the grid."""
    figure.set_size_inches(9, 3.4)
    paths, losses = figure.subplots(1, 2)
    for name, path in outcome["paths"].items():
        paths.plot(range(1, len(path) + 1), path, label=name.replace("_", " "))
    paths.set(xlabel="outer step", ylabel="multiplier", yscale="log")
    results = outcome["results"]
    losses.plot(GRID, outcome["grid"], "o-", ms=3, color="0.4", label="grid")
    before, after = results["test_loss_before"], results["test_loss_after"]
    losses.plot(FactoredMLP.step_multiplier, before, "o", color="C3", label="before")
    losses.plot(results["step_multiplier"], after, "o", color="C2", label="tuned, both multipliers")
    losses.set(xlabel="step multiplier", ylabel=f"test loss after {NUM_STEPS} steps", xscale="log")
    for axes in (paths, losses):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)


if __name__ == "__main__":
    command(run, draw)
