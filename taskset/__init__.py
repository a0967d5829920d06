"""Inner problems: what a learned optimizer is trained on.

    name ──► build ──► TaskFamily ──► sample(key) ──► Task: init(key), loss(params, batch, key)
                           └────────► load_data() ──► Dataset: sample(split, key, batch_size)

A `TaskFamily` is a configuration that fixes all shapes; a `Task` is one draw from it. Both, and the
`Dataset`, are plain values or pytrees, so a whole training run compiles into one program.

    base.py           the contracts: Task, TaskFamily, Dataset
    families/         one module per family
    names.py          "mlp:dataset=digits,hidden=32x16" <-> TaskFamily
    distributions.py  the samplers from which families draw configurations
    data/             where data comes from, and how it is kept; nothing is downloaded unless asked
    errors.py         InputError
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskset.base import SPLITS as SPLITS
    from taskset.base import Batch as Batch
    from taskset.base import Dataset as Dataset
    from taskset.base import Key as Key
    from taskset.base import NoData as NoData
    from taskset.base import Params as Params
    from taskset.base import Split as Split
    from taskset.base import Task as Task
    from taskset.base import TaskFamily as TaskFamily
    from taskset.data.arrays import ArrayDataset as ArrayDataset
    from taskset.data.images import DataInfo as DataInfo
    from taskset.errors import InputError as InputError
    from taskset.families.mlp import MLPClassification as MLPClassification
    from taskset.families.mlp import MLPFamily as MLPFamily
    from taskset.families.quadratic import Quadratic as Quadratic
    from taskset.families.quadratic import QuadraticFamily as QuadraticFamily
    from taskset.names import build as build
    from taskset.names import draw as draw
    from taskset.names import family_names as family_names
    from taskset.names import name_of as name_of

# Public names are imported when they are first used: `taskset.errors` must not cost an import of
# JAX, which has to wait until Ray has started.
_MODULES = {
    "taskset.base": "SPLITS Batch Dataset Key NoData Params Split Task TaskFamily",
    "taskset.data.arrays": "ArrayDataset",
    "taskset.data.images": "DataInfo",
    "taskset.errors": "InputError",
    "taskset.families.mlp": "MLPClassification MLPFamily",
    "taskset.families.quadratic": "Quadratic QuadraticFamily",
    "taskset.names": "build draw family_names name_of",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'taskset' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
