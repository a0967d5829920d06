"""Ridge regression with a penalty for each weight: hyper-gradients in closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from metaopt import dynamics
from metaopt.domains import Between, Positive, Real
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from taskset.base import Batch, Key, Params, Task, TaskFamily
from taskset.data.arrays import ArrayDataset

NUM_EXAMPLES, DIM = 40, 8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """Half the mean squared error; starts at zeros."""

    def init(self, key: Key) -> Params:
        return {"weight": jnp.zeros(DIM)}

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return 0.5 * jnp.mean(jnp.square(batch["x"] @ params["weight"] - batch["y"]))


@dataclasses.dataclass(frozen=True)
class RegressionFamily(TaskFamily):
    batch_size = 10

    def load_data(self) -> ArrayDataset:
        rng = np.random.RandomState(0)
        truth = rng.randn(DIM)
        arrays = {}
        for split in ("train", "outer_valid"):
            x = rng.randn(NUM_EXAMPLES, DIM)
            arrays[split] = {"x": x, "y": x @ truth + 0.5 * rng.randn(NUM_EXAMPLES)}
        return ArrayDataset(jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), arrays))

    def sample(self, data, key: Key) -> Regression:
        return Regression()


@dataclasses.dataclass(frozen=True)
class Ridge(Training):
    """Everything is tuned: the start, a penalty a weight, and the numbers of the dynamics.

    Decays are multiples of 2^-9, so that fixed point rounds none of them.
    """

    kind: str = "momentum"  # or "damped", "adam", "descent"
    schedule: int = 0  # steps, each with a learning rate; 0 for one rate

    def hyperparameters(self):
        rates = (self.schedule,) if self.schedule else ()
        tuned = {
            "weight": Hyperparameter(0.5, Real(), (DIM,), spread=0.1),
            "penalty": Hyperparameter(0.1, Positive(), (DIM,)),
            "rate": Hyperparameter(0.1, Positive(), rates),
            "scale": Hyperparameter(1.2, Positive()),  # of the outer loss: a direct term
        }
        if self.kind != "descent":
            tuned["decay"] = Hyperparameter(0.625, Between(0.0, 1.0))
        return tuned

    def init(self, values, task, key):
        return {"weight": values["weight"]}

    def inner_loss(self, values, task, params, batch, key):
        penalty = 0.5 * jnp.sum(values["penalty"] * jnp.square(params["weight"]))
        return task.loss(params, batch, key) + penalty

    def outer_loss(self, values, task, params, batch, key):
        return values["scale"] * task.loss(params, batch, key)

    def dynamics(self, values):
        if self.kind == "adam":
            return dynamics.Adam(values["rate"], values["decay"], 1 - 2**-9)
        if self.kind == "descent":
            return dynamics.GradientDescent(values["rate"])
        return dynamics.Momentum(values["rate"], values["decay"], damped=self.kind == "damped")


def ridge(kind: str = "momentum", schedule: int = 0, batches="whole") -> HyperparameterTraining:
    return HyperparameterTraining(RegressionFamily(), Ridge(kind, schedule), batches)
