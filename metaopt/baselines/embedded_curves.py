"""Loss curves of baselines on some embedded tasks, computed once and shipped with the package.

`benchmarks/baseline_curves.py` computes them: of Adam at a few learning rates, and of the first
configurations of the NAdamW list. A file beside them says how, where and when.
"""

import functools
import hashlib
import json
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from metaopt.baselines.grid import mean_loss
from metaopt.baselines.task_curves import TaskCurves
from metaopt.normalize import LossScale
from taskset import catalog
from taskset.base import SPLITS, Dataset, TaskFamily
from taskset.errors import InputError

CURVES = pathlib.Path(__file__).with_name("embedded_curves.npz")
PROVENANCE = CURVES.with_suffix(".json")
TRAIN = SPLITS.index("train")


class Shipped(NamedTuple):
    """The curves of all tasks."""

    tasks: np.ndarray  # [tasks] bytes, names
    fingerprints: np.ndarray  # [tasks] bytes, of the data that the tasks had
    optimizers: np.ndarray  # [optimizers] bytes, names
    xs: np.ndarray  # [51] int64, steps
    ys: np.ndarray  # [tasks, optimizers, replicas, 51, 4] float32, as in `TaskCurves`


def names() -> tuple[str, ...]:
    """The tasks of which curves are shipped."""
    return tuple(task.decode() for task in _read(CURVES).tasks) if CURVES.exists() else ()


def provenance() -> dict[str, object]:
    """How the shipped curves were made: command, date, machine, versions, protocol."""
    return json.loads(PROVENANCE.read_text())


def find(family: TaskFamily, fingerprint: str) -> TaskCurves | None:
    """The curves of a task; None where there are none, or its data have another fingerprint."""
    try:
        name = catalog.name_of(catalog.exact(family))
    except InputError:  # a family of the user's own
        return None
    if name not in names():
        return None
    if _read(CURVES).fingerprints[names().index(name)].decode() != fingerprint:
        return None
    return shipped(name)


def shipped(name: str) -> TaskCurves:
    """The curves of one of `names()`, whatever its data are now."""
    found = _read(CURVES)
    return TaskCurves(found.optimizers, found.xs, found.ys[names().index(name)])


def loss_scale(family: TaskFamily, num_steps: int, fingerprint: str) -> LossScale | None:
    """The mean training loss at the start, and the least one of an optimizer by `num_steps`.

    None when there are no curves of the task, they are shorter, or none of them falls.
    """
    curves = find(family, fingerprint)
    if curves is None or num_steps > curves.xs[-1]:
        return None
    at_end = np.searchsorted(curves.xs, num_steps, side="right") - 1
    train = curves.ys[..., TRAIN]
    initial, best = np.mean(train[..., 0]), np.min(mean_loss(train[..., at_end]))
    return LossScale(np.float32(initial), np.float32(best)) if best < initial else None


def data_fingerprint(data: Dataset) -> str:
    """The sha256 of the arrays of a data set, in hex: equal only for equal data."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(data):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@functools.lru_cache(maxsize=2)
def _read(path: pathlib.Path) -> Shipped:
    with np.load(path, allow_pickle=False) as arrays:
        return Shipped(*(arrays[name] for name in Shipped._fields))
