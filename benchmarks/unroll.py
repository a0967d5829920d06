"""Inner steps per second of one worker, for every learned optimizer and estimator.

    python benchmarks/unroll.py [--json FILE] [--optimizers FactoredMLP] [--estimators PersistentES]
                                [--models 64-32-10] [--tasks 16] [--truncations 50]

A step is one step of inner training of one task (of one sign, for evolution strategies), batch
128, horizon 1,000 in staggered truncations; whole runs are as long as a truncation. Each setting
runs in a process of its own, which is what a worker is: one core, one thread (`NPROC=1`);
`--threads 2` and so on give it more. The whole table takes many hours; the flags choose a part, and
FILE, which every row goes into at once, has the rows that need not be measured again.

steps/s, steps/CPU-s   per second of wall time (best call) and of CPU time (median call)
SGD share              share of CPU time that remains with SGD in the place of the learned
                       optimizer: the inner model, its data, for backprop their derivatives
times floor            CPU time over the floor: that of SGD, and what the arithmetic that the
                       optimizer adds takes at the rates of this core, see `arithmetic`
compile                CPU seconds; nothing is cached
temporary, resident    MB: of the compiled program by the compiler's own report; peak of the process
"""

import dataclasses
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import arithmetic
import jax
import jax.numpy as jnp
import measure
import numpy as np
import optax
import tyro

from metaopt import estimators as kinds
from metaopt.estimators import GradientEstimator
from metaopt.estimators.rematerialisation import Remat
from metaopt.estimators.truncated import TruncatedEstimator
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import KINDS, LearnedOptimizer, MetaParams
from taskset.base import Dataset, Key, TaskFamily
from taskset.data.arrays import ArrayDataset
from taskset.families.mlp import MLPClassification, plain_mlp

NUM_EXAMPLES = 10_000
SLOW = 3.0  # CPU seconds; an estimate that takes longer is repeated less
ESTIMATORS: dict[str, type[GradientEstimator]] = {
    kind.__name__: kind
    for kind in (
        kinds.PersistentES,
        kinds.TruncatedES,
        kinds.TruncatedBackprop,
        kinds.NoiseReuseES,
        kinds.GPES,
        kinds.ResumedPersistentES,
        kinds.PersistentESWithBackprop,
        kinds.FullES,
        kinds.FullBackprop,
        kinds.Reparameterised,
        kinds.InverseVariance,
    )
}


@dataclasses.dataclass(frozen=True)
class RandomImages(TaskFamily):
    """An MLP on random images: the cost of a step does not depend on what is in them."""

    widths: tuple[int, ...]
    batch_size: int = 128

    def load_data(self) -> Dataset:
        draw = np.random.RandomState(0)
        images = draw.randint(0, 256, (NUM_EXAMPLES, self.widths[0])).astype(np.uint8)
        labels = draw.randint(0, self.widths[-1], NUM_EXAMPLES).astype(np.int32)
        split = {"image": jnp.asarray(images), "label": jnp.asarray(labels)}
        return ArrayDataset({"train": split, "inner_valid": split})

    def sample(self, data: Dataset, key: Key) -> MLPClassification:
        del data, key
        inputs, *hidden, num_classes = self.widths
        return plain_mlp((1, inputs, 1), tuple(hidden), num_classes, "relu", self.batch_size)


@dataclasses.dataclass(frozen=True)
class PlainSGD(LearnedOptimizer):
    """The floor: an optimizer that costs next to nothing."""

    def init(self, key: Key) -> MetaParams:
        return {"learning_rate": jnp.float32(0.01)}

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(optax.sgd(meta_params["learning_rate"]))


@dataclasses.dataclass(frozen=True)
class Setting:
    """One row of the table."""

    optimizer: str
    estimator: str
    model: str  # widths, as 64-32-10
    tasks: int
    truncation: int
    remat: Remat = "step"

    def build(self, optimizer: LearnedOptimizer) -> GradientEstimator:
        """The estimator, for this optimizer."""
        widths = tuple(map(int, self.model.split("-")))
        problem = OptimizerTraining(RandomImages(widths), optimizer)
        kind = ESTIMATORS[self.estimator]
        length: dict[str, Any] = {"horizon": Fixed(self.truncation)}
        if issubclass(kind, TruncatedEstimator):
            length = {"horizon": Fixed(1000), "truncation": self.truncation}
        if "remat" in {field.name for field in dataclasses.fields(kind)}:
            length["remat"] = self.remat
        return kind(problem, self.tasks, **length)


def main(
    optimizers: tuple[str, ...] = tuple(KINDS),
    estimators: tuple[str, ...] = tuple(ESTIMATORS),
    models: tuple[str, ...] = ("64-32-10", "784-32-10"),
    tasks: tuple[int, ...] = (4, 16, 64),
    truncations: tuple[int, ...] = (20, 50),
    remat: Remat = "step",
    threads: int = 1,
    json: pathlib.Path | None = None,
) -> None:
    """Runs every combination that is not in the file, and reports all that is there then."""
    title = f"Unrolls, batch 128, {threads} thread(s), {os.cpu_count()} cores"
    rows = measure.saved_rows(json)
    for chosen in itertools.product(optimizers, estimators, models, tasks, truncations):
        setting = Setting(*chosen, remat)
        if any(row.items() >= dataclasses.asdict(setting).items() for row in rows):
            continue
        rows.append(in_own_process(setting, threads))
        print(rows[-1], flush=True)
        measure.save(title, rows, json)
    measure.report(title, rows, json)


def in_own_process(setting: Setting, threads: int) -> dict[str, Any]:
    """The row of a setting, measured with its own memory and threads."""
    environment = os.environ | {"NPROC": str(threads), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, __file__, "--child", json.dumps(dataclasses.asdict(setting))]
    output = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=1200
    ).stdout
    return json.loads(output.splitlines()[-1])


class Program(NamedTuple):
    """A compiled estimate, ready to be called again and again."""

    call: Callable[[], Any]
    operations: arithmetic.Operations
    compile_seconds: float  # CPU
    temporary: int  # bytes


def one_setting(setting: Setting) -> dict[str, Any]:
    """The row of a setting."""
    estimator = setting.build(KINDS[setting.optimizer]())
    program = compiled(estimator, setting.truncation)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    sgd = compiled(setting.build(PlainSGD()), setting.truncation)
    is_slow = measure.timed(program.call, repeats=1).cpu > SLOW
    timing, sgd_timing = measure.timed_in_turns([program.call, sgd.call], 3 if is_slow else 8)
    added = program.operations.plus(sgd.operations, times=-1.0)
    floor = sgd_timing.cpu + arithmetic.rates().seconds(added)
    return {
        **dataclasses.asdict(setting),
        "steps/s": round(estimator.inner_steps / timing.wall),
        "steps/CPU-s": round(estimator.inner_steps / timing.cpu),
        "SGD share": sgd_timing.cpu / timing.cpu,
        "times floor": timing.cpu / floor,
        "compile": program.compile_seconds,
        "temporary": program.temporary / 1e6,
        "resident": resident,
    }


def compiled(estimator: GradientEstimator, num_steps: int) -> Program:
    """The program of an estimate, over `num_steps` inner steps, which has been called once."""
    problem = estimator.problem
    assert isinstance(problem, OptimizerTraining)
    data = problem.load_data()
    meta_params = problem.optimizer.init(jax.random.key(0))
    state = [jax.jit(estimator.init)(meta_params, data, jax.random.key(1))]
    arguments = (meta_params, state[0], data, jax.random.key(2))
    cpu = time.process_time()
    program = jax.jit(estimator.estimate).lower(*arguments).compile()
    compile_seconds = time.process_time() - cpu

    def call() -> Any:
        estimate, state[0] = program(meta_params, state[0], data, jax.random.key(3))
        return estimate

    jax.block_until_ready(call())
    memory = program.memory_analysis()
    assert memory is not None
    return Program(
        call=call,
        operations=arithmetic.operations(estimator.estimate, *arguments, turns=num_steps),
        compile_seconds=compile_seconds,
        temporary=memory.temp_size_in_bytes,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(one_setting(Setting(**json.loads(sys.argv[2])))))
    else:
        tyro.cli(main)
