"""Which of six tasks should share weights, learned from their held-out losses.

    python recipes/hypergradients/task_sharing.py [--json FILE] [--picture FILE]

Two clusters of three linear regressions, with twelve examples each. The weights of task i are a sum
over j of sharing[i, j] times free weights j, which are penalised; the identity separates tasks, and
1/6 everywhere ties them. Maclaurin et al. 2015 (https://arxiv.org/abs/1502.03492), section 3.4, on
Omniglot alphabets and the same rotated: tasks that are alike come to share.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import trained, tuned

from metaopt import dynamics
from metaopt.estimators import FullBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Batch, Dataset, Key, Params, Split, Task, TaskFamily
from taskset.data.arrays import ArrayDataset

NUM_TASKS, DIM, NUM_STEPS, NUM_OUTER_STEPS = 6, 10, 100, 200
OPTIMIZER = OuterOptimizer(learning_rate=0.02)
CLUSTER = np.arange(NUM_TASKS) // 3
NUM_EXAMPLES = {"train": 12, "outer_valid": 12, "test": 500}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regressions(Task):
    """Half the mean squared error of all tasks together; weights start at 0."""

    def init(self, key: Key) -> Params:
        return jnp.zeros((NUM_TASKS, DIM))

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        predictions = jnp.einsum("etd,td->et", batch["x"], params)
        return 0.5 * jnp.mean(jnp.square(predictions - batch["y"]))


@dataclasses.dataclass(frozen=True)
class Clusters(TaskFamily):
    """Tasks of a cluster have nearly the same weights; labels are noisy."""

    batch_size = NUM_EXAMPLES["train"]

    def load_data(self) -> ArrayDataset:
        draw = np.random.RandomState(0)
        truth = draw.randn(2, DIM)[CLUSTER] + 0.2 * draw.randn(NUM_TASKS, DIM)
        arrays = {}
        for split, number in NUM_EXAMPLES.items():
            x = draw.randn(number, NUM_TASKS, DIM)
            y = np.einsum("etd,td->et", x, truth) + draw.randn(number, NUM_TASKS)
            arrays[split] = {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(y, jnp.float32)}
        return ArrayDataset(arrays)

    def sample(self, data: Dataset, key: Key) -> Regressions:
        return Regressions()


def partly_tied(share: float, num_tasks: int) -> np.ndarray:
    """Between the identity, at 0, and the same for all, at 1; [num_tasks, num_tasks] float32."""
    tied = np.full((num_tasks, num_tasks), 1 / num_tasks)
    return ((1 - share) * np.eye(num_tasks) + share * tied).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Sharing(Training):
    """Damped momentum on the loss and the squared free weights."""

    def hyperparameters(self) -> Hyperparameters:
        # Of the departure from half tied, which is where it starts.
        return {"departure": Hyperparameter(0.0, shape=(NUM_TASKS, NUM_TASKS))}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        return self.outer_loss(values, task, params, batch, key) + 0.01 * jnp.sum(
            jnp.square(params)
        )

    def outer_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        sharing = partly_tied(0.5, NUM_TASKS) + values["departure"]
        return task.loss(sharing @ params, batch, key)

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(1.0, 0.9, damped=True)


def run() -> Outcome:
    """Test losses of tasks apart, tied, half tied, and shared as learned."""
    problem = HyperparameterTraining(Clusters(), Sharing(), "whole")
    method = FullBackprop(problem, 1, Fixed(NUM_STEPS), objective="final", remat="none")
    data, half = problem.load_data(), partly_tied(0.5, NUM_TASKS)

    def loss(sharing: np.ndarray, split: Split = "test") -> float:
        at = {"departure": jnp.asarray(sharing - half)}
        params = trained(problem, at, NUM_STEPS)
        return float(Regressions().loss(sharing @ params, data.whole(split), jax.random.key(0)))

    learned = np.asarray(tuned(method, OPTIMIZER, NUM_OUTER_STEPS)["departure"]) + half
    rows = np.corrcoef(learned)
    same = CLUSTER[:, None] == CLUSTER
    return {
        "results": {
            "separate": loss(partly_tied(0, NUM_TASKS)),
            "tied": loss(partly_tied(1, NUM_TASKS)),
            "half_tied": loss(half),
            "learned": loss(learned),
            "learned_held_out": loss(learned, "outer_valid"),
            "correlation_within": rows[same & ~np.eye(NUM_TASKS, dtype=bool)].mean(),
            "correlation_across": rows[~same].mean(),
        },
        "sharing": learned,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """The matrix, and the losses."""
    figure.set_size_inches(9, 3.6)
    matrix, bars = figure.subplots(1, 2)
    sharing = np.asarray(outcome["sharing"])
    largest = np.abs(sharing).max()
    image = matrix.imshow(sharing, cmap="RdBu_r", vmin=-largest, vmax=largest)
    matrix.set(xlabel="free weights", ylabel="task; 0-2 and 3-5 are alike", title="learned sharing")
    figure.colorbar(image, ax=matrix, label="share")
    kinds = {"separate": "separate", "half_tied": "half tied", "tied": "tied", "learned": "learned"}
    bars.bar(kinds.values(), [outcome["results"][kind] for kind in kinds], color="C0")
    bars.set(ylabel="test loss, mean of the six tasks")
    bars.grid(alpha=0.3, axis="y")


if __name__ == "__main__":
    command(run, draw)
