"""Inner problems: what a learned optimizer is trained on.

    name ──► build ──► TaskFamily ──► load_data() ──► Dataset: sample(split, key, batch_size)
                           └─► sample(data, key) ──► Task: init(key), loss(params, batch, key)

A `TaskFamily` is a configuration that fixes all shapes; a `Task` is one draw from it. Both, and the
`Dataset`, are plain values or pytrees, so a whole training run compiles into one program.

    base.py           the contracts: Task, TaskFamily, Dataset
    configs/          the configurations of TaskSet's 12 sampled families, as they were released
    families/         one module per family: from a configuration to a task
    fixed/            the 109 fixed tasks
    networks/         what tasks are built from: dimensions that may be padded, layers, losses
    options.py        how a configuration is built: source of data, fidelity, buckets
    configured.py     families made from a configuration, and the program that many share
    named.py          TaskSet by its released names: names, fixed_names, NamedFamily
    catalog.py        "mlp_family_seed7:source=embedded", "mlp:hidden=32x16" <-> TaskFamily
    augment.py        families made from families: other scales, precisions, late gradients
    mixture.py        a distribution over all of these, with limits on size and time
    costs.py          what a step of a task costs, by its shapes
    timings.py        how long it takes here: measured, or estimated
    threefry.py       random numbers from programs that a CPU compiles fast
    check.py          what every family promises, as checks for any family
    data/             where data comes from, and how it is kept; nothing is downloaded unless asked
    errors.py         InputError
    whole_files.py    files that are whole whenever they are read
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
    from taskset.catalog import build as build
    from taskset.catalog import draw as draw
    from taskset.catalog import name_of as name_of
    from taskset.configs import InfeasibleTask as InfeasibleTask
    from taskset.configs import config as config
    from taskset.configs import feasible as feasible
    from taskset.data.arrays import ArrayDataset as ArrayDataset
    from taskset.data.images import DataInfo as DataInfo
    from taskset.errors import InputError as InputError
    from taskset.families.mlp import MLPClassification as MLPClassification
    from taskset.families.mlp import MLPFamily as MLPFamily
    from taskset.families.quadratic import Quadratic as Quadratic
    from taskset.families.quadratic import QuadraticFamily as QuadraticFamily
    from taskset.mixture import Mixture as Mixture
    from taskset.named import NamedFamily as NamedFamily
    from taskset.named import fixed_names as fixed_names
    from taskset.named import names as names
    from taskset.options import Options as Options

# Public names are imported when they are first used: `taskset.errors` must not cost an import of
# JAX, which has to wait until Ray has started.
_MODULES = {
    "taskset.base": "SPLITS Batch Dataset Key NoData Params Split Task TaskFamily",
    "taskset.catalog": "build draw name_of",
    "taskset.configs": "InfeasibleTask config feasible",
    "taskset.data.arrays": "ArrayDataset",
    "taskset.data.images": "DataInfo",
    "taskset.errors": "InputError",
    "taskset.families.mlp": "MLPClassification MLPFamily",
    "taskset.families.quadratic": "Quadratic QuadraticFamily",
    "taskset.mixture": "Mixture",
    "taskset.named": "NamedFamily fixed_names names",
    "taskset.options": "Options",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'taskset' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)
