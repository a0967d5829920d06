"""How large the perturbations of evolution strategies have to be, and may be, in float32.

    python benchmarks/perturbation_size.py [--num-steps 300] [--json FILE]

FactoredMLP is trained on digits, MLP 64-32-10, with PersistentES on 8 pairs, truncation 20, runs of
200 steps, Adam 0.003; the gradient is clipped to 0.1 per coordinate. Differences of losses are a
multiple of the spacing of float32, about 1e-7 of a loss of 2: a perturbation that changes the loss
by less than that is answered with rounding (Vicol et al. 2021, arXiv:2112.13835).
"""

import pathlib

import jax
import jax.numpy as jnp
import measure
import numpy as np
import tyro

from metaopt.diagnostics import gradient_noise
from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP
from metaopt.learner import Learner
from metaopt.outer_optimizer import OuterOptimizer
from taskset import catalog

STDDEVS = (1e-6, 1e-4, 1e-2, 1e-1)


def train(stddev: float, num_steps: int) -> dict[str, float]:
    """The meta-loss at the start and the end of training with one size of perturbations."""
    problem = OptimizerTraining(catalog.build("mlp:dataset=digits,hidden=32"), FactoredMLP())
    estimator = PersistentES(problem, 8, 20, Fixed(200), stddev)
    learner = Learner(OuterOptimizer(learning_rate=3e-3, clip=0.1), num_steps)
    data, key = problem.load_data(), jax.random.key(0)
    state = learner.init(problem.optimizer.init(key))
    runs = jax.jit(estimator.init)(state.meta_params, data, key)
    estimate_next = jax.jit(estimator.estimate, donate_argnums=1)
    losses, signals = [], []
    for step in range(num_steps):
        key_step = jax.random.fold_in(key, step)
        estimate, runs = estimate_next(state.meta_params, runs, data, key_step)
        state = learner.update(state, estimate)
        losses.append(float(estimate.meta_loss))
        signals.append(gradient_noise(estimate).signal_to_noise)
    tenth = max(1, num_steps // 10)
    return {
        "stddev": stddev,
        "meta-loss, first tenth": float(np.mean(losses[:tenth])),
        "meta-loss, last tenth": float(np.mean(losses[-tenth:])),
        "signal to noise, median": float(np.median(signals)),
        "all finite": float(jnp.all(jnp.isfinite(jnp.asarray(losses)))),
    }


def main(num_steps: int = 300, json: pathlib.Path | None = None) -> None:
    """Trains once for each size of perturbations, in turn."""
    rows = [train(stddev, num_steps) for stddev in STDDEVS]
    measure.report(f"size of perturbations, {num_steps} outer steps", rows, json)


if __name__ == "__main__":
    tyro.cli(main)
