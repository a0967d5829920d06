"""The tasks that there are to train on: families, draws from them, and a small picture of each."""

import functools
import importlib
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from metaopt.baselines import embedded_curves
from metaopt.client.models import Task, TaskFamily
from taskset import catalog, configs, costs, fixed
from taskset.base import SPLITS
from taskset.catalog import FAMILIES
from taskset.data import sources
from taskset.data.images import DataInfo
from taskset.errors import InputError, unknown_name
from taskset.mixture import Mixture
from taskset.named import MODULES, fixed_names, names
from workers.commands import task_facts
from workers.service import thumbnails

FIXED = "fixed"
SEEDS_OF_DATA_SETS = range(100)  # configurations that the data sets of a family are taken from
MAX_NAME = 300
NUM_EXAMPLES = 8
TRAIN = SPLITS.index("train")


@functools.cache
def families() -> list[TaskFamily]:
    """All families, the fixed tasks as one of them."""
    sampled = [
        TaskFamily(
            family=name,
            about=_first_line(importlib.import_module(module)),
            data_sets=_data_sets(name),
        )
        for name, module in MODULES.items()
    ]
    parametric = [TaskFamily(family=n, about=_first_line(cls)) for n, cls in FAMILIES.items()]
    return [*sampled, TaskFamily(family=FIXED, about=_first_line(fixed)), *parametric]


def tasks(family: str, seed: int, count: int) -> list[Task]:
    """`count` tasks of a family, drawn with `seed` and those after it; of fixed ones, in order.

    Raises `InputError` for an unknown family.
    """
    return [_task(name, family) for name in dict.fromkeys(_names(family, seed, count))]


@functools.lru_cache(maxsize=1024)
def thumbnail(task: str) -> str:
    """A picture of a task, as SVG: Adam's loss on it, or its examples, or its configuration.

    The loss is one of those that are shipped; where there are no examples to show, it may be that
    on another task of the family, which the picture then names. Nothing is trained. Raises
    `InputError` for a name that is none.
    """
    if len(task) > MAX_NAME:
        raise InputError(f"the name of a task has at most {MAX_NAME} characters")
    family = catalog.build(task)
    inner = task_facts.without_augmentations(family)
    name = catalog.name_of(catalog.exact(inner))
    if name in embedded_curves.names():
        return thumbnails.curve(name, *_adam(name))
    examples = _examples(inner)
    if examples is not None:
        return thumbnails.images(task, examples)
    related = _related(name)
    if related is not None:
        return thumbnails.curve(related, *_adam(related))
    return thumbnails.facts(task, _flat(task_facts.configuration(inner)))


def _names(family: str, seed: int, count: int) -> Iterator[str]:
    if family == FIXED:
        found = fixed_names()
        first = seed * count % len(found)
        return (f"{name}:source=embedded" for name in found[first : first + count])
    if family in FAMILIES:
        return (catalog.name_of(catalog.draw(family, seed + i)) for i in range(count))
    if family not in names():
        raise unknown_name("task family", family, [FIXED, *FAMILIES, *names()])
    mixture = Mixture(components=(family,), buckets="exact")
    return (mixture.sample(seed + i) for i in range(count))


@functools.lru_cache(maxsize=4096)
def _task(name: str, family: str) -> Task:
    built = catalog.build(name)
    return Task(
        task=name,
        family=family,
        configuration=_plain(task_facts.configuration(built)),
        num_parameters=costs.num_parameters(catalog.exact(built)),
        thumbnail=f"/v1/tasks/thumbnail.svg?task={quote(name, safe='')}",
    )


def _first_line(documented: Any) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


def _data_sets(family: str) -> list[str]:
    """The data sets of many of its configurations, by name; none where they generate their own."""
    found = (configs.config(f"{family}_seed{seed}") for seed in SEEDS_OF_DATA_SETS)
    given = (config.get("dataset") for config in found if isinstance(config, Mapping))
    return sorted({d[0] for d in given if isinstance(d, list) and isinstance(d[0], str)})


def _related(name: str) -> str | None:
    """A task of the same family of which there are curves."""
    family, seed, _ = name.partition("_seed")
    known = (other for other in embedded_curves.names() if seed)
    return next((other for other in known if other.startswith(f"{family}_seed")), None)


def _adam(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and training losses of Adam on a task, at the best of the rates that are shipped."""
    found = embedded_curves.shipped(name)
    is_adam = [optimizer.startswith(b"adam") for optimizer in found.optimizers]
    losses = found.ys[is_adam][..., TRAIN].mean(axis=1)  # [rates, points]
    finite = np.where(np.isfinite(losses[:, -1]), losses[:, -1], math.inf)
    return found.xs, losses[np.argmin(finite)]


def _examples(family: Any) -> np.ndarray | None:
    """The first images of its data set, [count, height, width, channels] in 0…255."""
    try:
        found = task_facts.examples(family)
    except InputError:  # has to be downloaded first
        return None
    if found is None or not isinstance(found.info, DataInfo):
        return None
    arrays = sources.read(found.stored_name, found.info.source)
    images = np.asarray(arrays["train"]["image"][:NUM_EXAMPLES])
    return images.reshape(len(images), *found.info.image_shape)


def _flat(configuration: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    for key, value in configuration.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", str(value)


def _plain(value: Any) -> Any:
    """`value` with None where JSON has no number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
