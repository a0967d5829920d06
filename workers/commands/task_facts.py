"""What there is to know about a task, as plain values for tables and JSON."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax

from taskset import catalog, configs, costs, timings
from taskset.augment import Augmented
from taskset.base import TaskFamily
from taskset.configured import NoExamples
from taskset.data import sources
from taskset.data.prepared import Info
from taskset.named import NamedFamily, fixed_names


class Examples(NamedTuple):
    """The data set of a task."""

    name: str  # as the task calls it
    stored_name: str  # as `metaopt data` does: that of its stand-in, or the same
    info: Info


def of_task(name: str) -> dict[str, Any]:
    """What is known of a task without running it. Prepares its data if that needs no download.

    Costs are those of one inner step without padding. Raises `InputError` as `catalog.build` does.
    """
    family = catalog.build(name)
    exact = catalog.exact(family)
    inner = without_augmentations(exact)
    cost = costs.estimate(exact)
    task = jax.eval_shape(inner.sample, inner.load_data(), jax.random.key(0))
    return {
        "name": catalog.name_of(family),
        **configuration(without_augmentations(family)),
        "loss": " ".join(_described(task)),
        **_data(inner),
        "batch": exact.batch_size,
        "parameters": cost.parameters,
        "parameter_bytes": cost.parameter_bytes,
        "batch_bytes": cost.batch_bytes,
        "flops_per_step": cost.flops,
        "bytes_per_step": cost.traffic_bytes,
        "memory_bytes": cost.memory_bytes,
    }


def summary(name: str) -> dict[str, Any]:
    """The entry of a task in a list of tasks: its name, size, estimated time and data."""
    family = catalog.build(name)
    name, exact = catalog.name_of(family), catalog.exact(family)
    found = examples(without_augmentations(family))
    return {
        "name": name,
        "parameters": costs.estimate(exact).parameters,
        "step_seconds": timings.seconds(name),
        "batch": exact.batch_size,
        "data set": found.stored_name if found else None,
        "fingerprint": found.info.fingerprint if found else None,
    }


def without_augmentations(family: TaskFamily) -> TaskFamily:
    """The family that augmentations were put around."""
    while isinstance(family, Augmented):
        family = family.family
    return family


def configuration(family: TaskFamily) -> dict[str, Any]:
    """The fields of a family; of a sampled task also its configuration, as it was released."""
    assert dataclasses.is_dataclass(family)
    fields = {f.name: plain(getattr(family, f.name)) for f in dataclasses.fields(family)}
    if not isinstance(family, NamedFamily):
        return fields
    del fields["name"]  # the task is named already
    sampled = family.name not in fixed_names()
    return fields | ({"configuration": configs.config(family.name)} if sampled else {})


def examples(family: TaskFamily) -> Examples | None:
    """The data set of a family; None when it has none, or makes its own."""
    if isinstance(family, NamedFamily):
        # The specification of images and of text is within that of the minibatches.
        spec = getattr(family.spec.data, "data", None)
        return Examples(spec.name, spec.stored_name, spec.info()) if spec else None
    name, source = (getattr(family, field, None) for field in ("dataset", "source"))
    return Examples(name, name, sources.info(name, source)) if name and source else None


def plain(value: Any) -> Any:
    """A value as it is written in the name of a task."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


def _data(family: TaskFamily) -> Mapping[str, Any]:
    found = examples(family)
    if found is None:
        generated = isinstance(family, NamedFamily) and family.spec.data != NoExamples()
        return {"data set": "generated"} if generated else {}
    stand_in = {"stand-in": found.stored_name} if found.stored_name != found.name else {}
    facts = {"examples": dict(found.info.num_examples), "fingerprint": found.info.fingerprint[:16]}
    return {"data set": found.name, **stand_in, **found.info.summary(), **facts}


def _described(task: Any) -> Iterator[str]:
    """What a task is, from its docstring, and what the tasks are that it is made from."""
    yield " ".join((type(task).__doc__ or "").partition("\n\n")[0].split())
    for name in ("task", "problem"):
        if hasattr(task, name):
            yield from _described(getattr(task, name))
