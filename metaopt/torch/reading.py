"""An export becomes an architecture and its weights."""

import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from metaopt import export_files
from metaopt.export_files import CONFIG, MODEL, ExportFiles
from metaopt.torch.architecture import Architecture, Weights
from metaopt.torch.celo import Celo
from metaopt.torch.celo2 import Celo2
from metaopt.torch.coordinatewise_lstm import CoordinatewiseLSTM
from metaopt.torch.factored_mlp import STAR, FactoredMLP
from metaopt.torch.hand_designed import LearnableAdam, LearnableMomentum, LearnableSGD
from metaopt.torch.hierarchical import Hierarchical
from metaopt.torch.hierarchical_rnn import HierarchicalRNN
from metaopt.torch.hyper_controller import HyperController
from metaopt.torch.per_parameter_mlp import PerParameterMLP, PerParameterMLP2019
from metaopt.torch.velo import VeLO
from taskset.errors import InputError, unknown_name

KINDS: dict[str, type[Architecture]] = {
    kind.__name__: kind
    for kind in (
        Celo,
        Celo2,
        CoordinatewiseLSTM,
        FactoredMLP,
        Hierarchical,
        HierarchicalRNN,
        HyperController,
        LearnableAdam,
        LearnableMomentum,
        LearnableSGD,
        PerParameterMLP,
        PerParameterMLP2019,
        STAR,
        VeLO,
    )
}


class Exported(NamedTuple):
    """What an export holds for PyTorch."""

    architecture: Architecture
    weights: Weights
    files: ExportFiles


def read(path: str | os.PathLike[str]) -> Exported:
    """The export at `path`, all but its reference trajectory checked.

    Raises `InputError` when a file is missing, damaged or of another format, when it is of an
    architecture that has no port to PyTorch, and when a weight has the wrong shape.
    """
    return built(export_files.read(path))


def built(files: ExportFiles) -> Exported:
    """The same of files that were read. Raises as `read` does."""
    kind, file = files.kind, files.path / CONFIG
    if kind not in KINDS:
        raise unknown_name(f"learned optimizer for PyTorch in {file}:", kind[:80], KINDS)
    types = _types(KINDS[kind])
    arguments = {name: types[name] for name in types if name not in files.constants}
    constants = {name: types[name] for name in types if name not in arguments}
    export_files.check_values(files.arguments, arguments, kind, "arguments", files)
    export_files.check_values(files.constants, constants, kind, "constants", files)
    architecture = KINDS[kind](**_values({**files.arguments, **files.constants}))
    try:
        shapes = architecture.shapes()
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    export_files.check_arrays(files.arrays, shapes, kind, str(files.path / MODEL))
    export_files.check_unchanged(files)
    return Exported(architecture, Weights(files.arrays), files)


def _types(kind: type[Architecture]) -> dict[str, type]:
    """The types of the fields of an architecture by name."""
    hints = typing.get_type_hints(kind)
    fields = (field.name for field in dataclasses.fields(kind))
    return {name: typing.get_origin(hints[name]) or hints[name] for name in fields}


def _values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(x) if isinstance(x, list) else x for k, x in values.items()}
