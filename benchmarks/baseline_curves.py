"""The baseline curves that come with the package: hand-designed optimizers on embedded tasks.

    python benchmarks/baseline_curves.py [--folder runs/baseline_curves]

Adam at eight learning rates and the first five configurations of the NAdamW list, on the three
cheapest tasks of every sampled family among the test seeds 900 to 999, on the digits task, and on
the problems in two variables. Each task is kept in the folder when it is done, and not computed
again. At the end all of them become metaopt/baselines/embedded_curves.npz, and a .json that says
how they were made.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import tyro

from metaopt import held_out
from metaopt.baselines import embedded_curves, opt_list, task_curves
from metaopt.baselines.embedded_curves import Shipped
from metaopt.baselines.task_curves import Protocol, TaskCurves
from taskset import catalog, configs, timings
from taskset.errors import InputError
from taskset.named import NamedFamily, fixed_names, names

SEEDS = range(900, 1000)  # of the test split
TASKS_PER_FAMILY = 3
EXPONENTS = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5)
ADAM = tuple(f"adam_lr_{exponent:.2f}" for exponent in EXPONENTS)
NADAMW = tuple(opt_list.name_for_idx(index) for index in range(5))
PACKAGES = ("metaopt", "jax", "jaxlib", "numpy", "optax", "scikit-learn")


def main(
    folder: pathlib.Path = pathlib.Path("runs/baseline_curves"),
    tasks: tuple[str, ...] = (),
    steps: int = 1000,
    minibatches: int = 10,
    replicas: int = 2,
    out: pathlib.Path = embedded_curves.CURVES,
) -> None:
    """Computes what is missing in `folder`, for the usual tasks or for `tasks`; writes `out`."""
    folder.mkdir(parents=True, exist_ok=True)
    protocol = Protocol(steps, minibatches, replicas)
    found = [catalog.name_of(catalog.build(task)) for task in tasks] or usual_tasks(folder)
    for index, task in enumerate(found, start=1):
        path = path_of(folder, task, protocol)
        if not path.exists():
            seconds = compute(task, protocol, path)
            print(f"{index} of {len(found)}: {task}, {seconds:.0f} s", flush=True)
    collect(found, folder, protocol, out)
    print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")


def usual_tasks(folder: pathlib.Path) -> list[str]:
    """Names of the tasks, kept in `folder`: it takes minutes to estimate what they cost."""
    path = folder / "tasks.json"
    if not path.exists():
        sampled = [task for family in names() for task in cheapest(family)]
        fixed = [name for name in fixed_names() if name.startswith("TwoD_")]
        named = [catalog.name_of(NamedFamily(name)) for name in (*sampled, *fixed)]
        path.write_text(json.dumps(["mlp", *named], indent=1))
    return json.loads(path.read_text())


def cheapest(family: str) -> list[str]:
    """The tasks of a family with the least estimated time of a step."""
    tasks = [f"{family}_seed{seed}" for seed in SEEDS]
    feasible = [task for task in tasks if configs.feasible(task)]
    seconds = {task: timings.estimate(task) for task in feasible}
    print(f"{family}: chosen from {len(seconds)}", flush=True)
    return sorted(feasible, key=seconds.__getitem__)[:TASKS_PER_FAMILY]


def path_of(folder: pathlib.Path, task: str, protocol: Protocol) -> pathlib.Path:
    """Where the curves of a task are kept."""
    lengths = f"{protocol.num_steps}_{protocol.num_minibatches}_{protocol.num_replicas}"
    return folder / f"{task.replace('/', '-')}_{lengths}.npz"


def compute(task: str, protocol: Protocol, path: pathlib.Path) -> float:
    """Writes the curves of a task, and what is to be known about them; returns seconds."""
    start = time.perf_counter()
    family = catalog.build(task)
    adam, nadamw = (task_curves.compute(family, names, protocol) for names in (ADAM, NADAMW))
    seconds = time.perf_counter() - start
    facts = {
        "fingerprint": embedded_curves.data_fingerprint(family.load_data()),
        "seconds": round(seconds, 1),
        "date": datetime.date.today().isoformat(),
    }
    path.with_suffix(".json").write_text(json.dumps(facts))
    ys = np.concatenate([adam.ys, nadamw.ys])
    task_curves.write(path, TaskCurves(np.asarray(ADAM + NADAMW, np.bytes_), adam.xs, ys))
    jax.clear_caches()  # the programs of this task serve no other
    return seconds


def collect(
    tasks: Sequence[str], folder: pathlib.Path, protocol: Protocol, out: pathlib.Path
) -> None:
    """Writes the curves of all tasks into one file, and their provenance beside it."""
    paths = [path_of(folder, task, protocol) for task in tasks]
    curves = [task_curves.read(path) for path in paths]
    facts = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    shipped = Shipped(
        np.asarray(tasks, np.bytes_),
        np.asarray([fact["fingerprint"] for fact in facts], np.bytes_),
        curves[0].optimizers,
        curves[0].xs,
        np.stack([one.ys for one in curves]),
    )
    partial = out.with_name(f"{out.name}.part")
    with partial.open("wb") as file:
        np.savez_compressed(file, **shipped._asdict())
    partial.replace(out)
    written = provenance(protocol) | {"tasks": dict(zip(tasks, facts, strict=True))}
    out.with_suffix(".json").write_text(json.dumps(written, indent=1) + "\n")


def provenance(protocol: Protocol) -> dict[str, Any]:
    """How curves are made here."""
    device = jax.devices()[0]
    return {
        "format": 1,
        "command": shlex.join(["python", "benchmarks/baseline_curves.py", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, JAX on {device.device_kind}",
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "steps": protocol.num_steps,
        "minibatches": protocol.num_minibatches,
        "replicas": protocol.num_replicas,
        "seed": {"root": held_out.ROOT_SEED, "stream": "scale", "first": 0},
        "optimizers": [*ADAM, *NADAMW],
    }


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        sys.exit(f"baseline_curves: {error}")
