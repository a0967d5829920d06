"""Exports of older formats, made into what this one would have written. Needs no JAX.

Version 1 had no tensor of more than 2 axes in its reference trajectory, which announced no
length, no checksum but that of the
weights, and not all constants.
"""

from collections.abc import Callable, Mapping
from typing import Any

from metaopt import golden

SHAPES_1: golden.Shapes = {"matrix": (4, 3), "scalar": (), "vector": (3,)}
# The tensors of the reference trajectory, by format version.
GOLDEN_SHAPES: Mapping[int, golden.Shapes] = {1: SHAPES_1, 2: golden.SHAPES}
# The length of training that the reference run announces, by format version.
GOLDEN_HORIZON: Mapping[int, int | None] = {1: None, 2: golden.HORIZON}
# The files that have a checksum, by format version.
SIGNED: Mapping[int, tuple[str, ...]] = {
    1: ("model.safetensors",),
    2: ("config.json", "model.safetensors", "golden.npz"),
}
# Constants that configurations of version 1 did not say, by architecture.
EXTENDED = {"gradient_clip": 0.1}
SCHEDULE = {"first_steps": 2}
STATISTICS = {"norm_epsilon": 1e-30}
UNSAID_1: Mapping[str, Mapping[str, Any]] = {
    "Celo": EXTENDED | SCHEDULE,
    "Celo2": EXTENDED,
    "Hierarchical": STATISTICS,
    "HyperController": STATISTICS,
    "VeLO": EXTENDED | SCHEDULE,
}


def migrated(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The configuration as the present format has it."""
    config = dict(config)
    for step in range(version, max(MIGRATIONS, default=0) + 1):
        config = MIGRATIONS[step](config)
    return config


def _from_1(config: Mapping[str, Any]) -> dict[str, Any]:
    unsaid = UNSAID_1.get(config["kind"], {})
    return {**config, "constants": {**unsaid, **config["constants"]}}


# What makes a configuration of a version one of the next.
MIGRATIONS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _from_1}
