"""The 109 fixed tasks of TaskSet, by name: hand-designed, one module per kind of model.

Each module has `TASKS`, from the name of a task to the function that builds it.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from taskset.configured import TaskSpec
from taskset.options import Options

BuildFixed: TypeAlias = Callable[[Options], TaskSpec]

MODULES: tuple[str, ...] = (
    "taskset.fixed.two_d",
    "taskset.fixed.conv",
    "taskset.fixed.conv_ae",
    "taskset.fixed.conv_vae",
    "taskset.fixed.mlp",
    "taskset.fixed.mlp_ae",
    "taskset.fixed.mlp_vae",
    "taskset.fixed.maf",
    "taskset.fixed.nvp",
    "taskset.fixed.language_models",
    "taskset.fixed.text_rnn",
    "taskset.fixed.sequences",
)


@lru_cache(maxsize=1)
def tasks() -> dict[str, BuildFixed]:
    """All fixed tasks by name, in the order of the modules."""
    found: dict[str, BuildFixed] = {}
    for module in MODULES:
        found |= importlib.import_module(module).TASKS
    return found


def kind(name: str) -> str:
    """The kind of model of a fixed task, "conv_ae". Raises `KeyError` for another name."""
    modules = {module: importlib.import_module(module).TASKS for module in MODULES}
    found = next((module for module, names in modules.items() if name in names), None)
    if found is None:
        raise KeyError(name)
    return found.rpartition(".")[2]
