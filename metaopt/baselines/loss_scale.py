"""The two losses that loss normalisation needs of a task, computed once and kept on disk."""

import contextlib
import hashlib
import json
import os
import pathlib

import numpy as np

from metaopt import held_out
from metaopt.baselines import embedded_curves
from metaopt.baselines.grid import RATES, mean_loss, tune_adam
from metaopt.baselines.one_rate import SCHEDULES
from metaopt.normalize import LossScale
from taskset import whole_files
from taskset.base import Dataset, TaskFamily
from taskset.errors import InputError

NUM_SEEDS = 8


def loss_scale(family: TaskFamily, num_steps: int, cache_dir: str | os.PathLike[str]) -> LossScale:
    """The initial loss of a task and the best that baselines reach in `num_steps`.

    They are looked up where curves of the task are shipped: see `embedded_curves`. Elsewhere they
    are measured: the initial loss is that of the first minibatch, the best one that of the whole
    train split at the end, at the best rate of a grid of Adam, with or without cosine decay; both
    are means over 8 seeds. They are kept in `cache_dir` under a name that depends on the family,
    the settings and the data, so that any number of runs, one after another or side by side, can
    share the folder.

    Raises `InputError` when Adam does not improve on the initial loss at any rate.
    """
    data = family.load_data()
    fingerprint = embedded_curves.data_fingerprint(data)
    shipped = embedded_curves.loss_scale(family, num_steps, fingerprint)
    if shipped is not None:
        return shipped
    settings = {
        "family": repr(family),
        "num_steps": num_steps,
        "num_seeds": NUM_SEEDS,
        "rates": RATES,
        "data": fingerprint,
    }
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    path = pathlib.Path(cache_dir) / f"{type(family).__name__}-{digest[:16]}.json"
    scale = _read(path)
    if scale is None:
        scale = _measure(family, data, num_steps)
        _write(path, {**settings, "initial": float(scale.initial), "best": float(scale.best)})
    return scale


def _measure(family: TaskFamily, data: Dataset, num_steps: int) -> LossScale:
    keys = held_out.evaluation_keys("scale", range(NUM_SEEDS))
    grids = [tune_adam(family, data, keys, num_steps, schedule) for schedule in SCHEDULES]
    initial = np.mean(grids[0].curves[0, :, 0])
    best = min(mean_loss(grid.final_train_loss)[grid.best] for grid in grids)
    if not best < initial:
        raise InputError(
            f"loss normalization of {family}: the best loss of Adam in {num_steps} steps, "
            f"{best:g}, is not below the initial loss, {initial:g}; "
            "use normalization 'none' or 'log'"
        )
    return LossScale(np.float32(initial), np.float32(best))


def _read(path: pathlib.Path) -> LossScale | None:
    """What is kept at `path`; None when there is nothing, or nothing that can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text())
        return LossScale(*(np.float32(float(kept[name])) for name in LossScale._fields))
    return None


def _write(path: pathlib.Path, content: dict[str, object]) -> None:
    """Keeps it at `path`. What cannot be written is computed again next time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_files.replace(path, json.dumps(content, indent=2).encode())
