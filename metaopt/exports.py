"""A trained optimizer as a folder that anyone can read, and back.

    config.json         architecture with every constant, and how the files are to be understood
    model.safetensors   meta-parameters, float32, by dotted names
    golden.npz          a reference trajectory, see `metaopt.golden`
    eval.json           the evaluations that justify it, where there are any
    README.md           model card: use, results, provenance

The folder is written under another name and then renamed: it is whole or not there. No pickle is
written or read, and reading needs no network.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy

from metaopt import golden, model_card
from metaopt.checkpoint import write_durably
from metaopt.learned_optimizers import KINDS, LearnedOptimizer, MetaParams
from metaopt.learned_optimizers.base import meta_param_shapes, named_leaves
from metaopt.learned_optimizers.wrappers import AccumulatorDtype, wrapped
from taskset.errors import InputError, unknown_name

FORMAT_VERSION = 1
CONFIG, MODEL, GOLDEN, EVALUATION, CARD = (
    "config.json",
    "model.safetensors",
    "golden.npz",
    "eval.json",
    "README.md",
)
# What `load` needs of config.json.
FIELDS: dict[str, type] = {
    "kind": str,
    "arguments": dict,
    "constants": dict,
    "sha256": dict,
    "provenance": dict,
}
MEANING = {
    "update": "params <- params + update(gradients, state, params), as in optax",
    "num_steps": "announced length of training; ignored by architectures without a horizon",
    "dtypes": "meta-parameters and accumulators float32, updates of the dtype of the gradients",
}


class Exported(NamedTuple):
    """What an export holds, besides its files for people."""

    optimizer: LearnedOptimizer
    meta_params: MetaParams
    provenance: Mapping[str, Any]


def export(
    path: str | os.PathLike[str],
    optimizer: LearnedOptimizer,
    meta_params: MetaParams,
    *,
    provenance: Mapping[str, Any] = {},
    evaluations: Mapping[str, Mapping[str, Any]] = {},
) -> Path:
    """Writes an export to the new folder `path`, and returns it.

    `provenance` are JSON values that say where the optimizer comes from; `evaluations` are reports
    (`metaopt.report.as_json`) by task. Raises `InputError` when the folder exists, when the
    architecture is not one of `metaopt.learned_optimizers.KINDS`, and when the meta-parameters do
    not fit it or are not finite.
    """
    path = Path(path)
    check_new(path)
    if KINDS.get(type(optimizer).__name__) is not type(optimizer):
        raise unknown_name("learned optimizer to export", type(optimizer).__name__, KINDS)
    arrays = _checked(named_leaves(meta_params), optimizer, "the meta-parameters")
    config = _config(optimizer, arrays, provenance)
    reference = golden.inputs()
    reference |= golden.trajectory(optimizer.as_optax(meta_params), reference)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        write_durably(temporary / CONFIG, _json(config))
        write_durably(temporary / MODEL, safetensors.numpy.save(arrays))
        np.savez(temporary / GOLDEN, allow_pickle=False, **reference)
        if evaluations:
            write_durably(temporary / EVALUATION, _json(evaluations))
        write_durably(temporary / CARD, model_card.write(config, evaluations).encode())
        temporary.rename(path)
    except OSError as error:
        raise InputError(f"cannot write export {path}: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def check_new(path: Path) -> None:
    """Raises `InputError` where there is something at `path` that an export would replace."""
    if path.exists():
        raise InputError(f"export folder {path} exists; choose another, or remove it first")


def _config(
    optimizer: LearnedOptimizer, arrays: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `config.json`."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": type(optimizer).__name__,
        "arguments": dataclasses.asdict(optimizer),
        "constants": dict(optimizer.constants),
        "meaning": MEANING,
        "num_meta_params": int(sum(x.size for x in arrays.values())),
        "sha256": {MODEL: hashlib.sha256(safetensors.numpy.save(dict(arrays))).hexdigest()},
        "provenance": dict(provenance),
    }


def load(
    path: str | os.PathLike[str],
    *,
    num_steps: int | None = None,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    weight_decay: jax.typing.ArrayLike = 0.0,
    mask: Any = None,
    accumulator_dtype: AccumulatorDtype = "float32",
    base_params: Any = None,
    check: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """The exported optimizer at `path`, ready for any optax training loop.

    `update(gradients, state, params, value=loss)`; `value` is optional. `num_steps` announces the
    length of training. `learning_rate`, a number or a schedule, multiplies the updates;
    `weight_decay`, `mask`, `accumulator_dtype` and `base_params` are those of
    `learned_optimizers.wrappers.wrapped`. With `check` the reference trajectory is run first, which
    takes some seconds.

    Raises `InputError` when a file is missing, damaged or of another format, when a meta-parameter
    has the wrong shape, dtype or is not finite, and when the trajectory is not the reference.
    """
    # Files hold numbers even when a jitted function loads them, as under `inject_hyperparams`.
    with jax.ensure_compile_time_eval():
        exported = read(path)
        if check:
            _check_trajectory(exported, path)
    transformation = exported.optimizer.as_optax(exported.meta_params, num_steps=num_steps)
    return wrapped(
        transformation,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        accumulator_dtype=accumulator_dtype,
        base_params=base_params,
    )


def _check_trajectory(exported: Exported, path: str | os.PathLike[str]) -> None:
    away = golden.deviation(exported.optimizer.as_optax(exported.meta_params), _golden(path))
    if not away < golden.TOLERANCE:
        raise InputError(
            f"export {path} does not reproduce its reference trajectory: it is off by "
            f"{away:.2g} of the way, the limit is {golden.TOLERANCE:g}; "
            f"it was changed, or made by code that computes something else"
        )


def read(path: str | os.PathLike[str]) -> Exported:
    """What the export at `path` holds, all but the trajectory checked. Raises as `load` does."""
    path = Path(path)
    config = read_config(path)
    kind = config["kind"]
    if kind not in KINDS:
        raise unknown_name(f"learned optimizer in {path / CONFIG}:", kind, KINDS)
    optimizer = _build(kind, config["arguments"], path / CONFIG)
    constants = json.loads(json.dumps(dict(optimizer.constants)))
    if config["constants"] != constants:
        raise InputError(
            f"export {path} was made for constants {config['constants']}, "
            f"this metaopt's {kind} has {constants}; load it with the version that made it"
        )
    arrays = _checked(_arrays(path / MODEL), optimizer, str(path / MODEL))
    if config["sha256"].get(MODEL) != hashlib.sha256((path / MODEL).read_bytes()).hexdigest():
        raise InputError(f"{path / MODEL} does not have its checksum in {CONFIG}: it was changed")
    shapes = meta_param_shapes(optimizer)
    leaves = [jnp.asarray(arrays[name]) for name in named_leaves(shapes)]
    meta_params = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return Exported(optimizer, meta_params, config["provenance"])


def meta_params_for(optimizer: LearnedOptimizer, path: str | os.PathLike[str]) -> MetaParams:
    """The meta-parameters in the export at `path`, for `optimizer` to begin at.

    It may be configured otherwise than what was exported, as long as the names and shapes of its
    meta-parameters are the same; raises `InputError` where they are not, and as `load` does.
    """
    exported = read(path)
    _checked(named_leaves(exported.meta_params), optimizer, f"the meta-parameters of {path}")
    return exported.meta_params


def checksum(meta_params: MetaParams) -> str:
    """The SHA-256 of meta-parameters, as their `model.safetensors` has it."""
    arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(meta_params).items()}
    return hashlib.sha256(safetensors.numpy.save(arrays)).hexdigest()


def read_config(path: Path) -> dict[str, Any]:
    """`config.json` of the export at `path`. Raises `InputError` unless it is of this format."""
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} is not an export: it has no {CONFIG}")
    try:
        config = json.loads((path / CONFIG).read_bytes())
        version = config["format_version"]
        odd = [name for name, kind in FIELDS.items() if not isinstance(config.get(name), kind)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path / CONFIG} is damaged: it is no configuration") from error
    if version != FORMAT_VERSION:
        raise InputError(f"export {path} has format {version}; this metaopt reads {FORMAT_VERSION}")
    if odd:
        raise InputError(f"{path / CONFIG} is damaged: see {odd}, missing or of the wrong type")
    return config


def _build(kind: str, arguments: Mapping[str, Any], file: Path) -> LearnedOptimizer:
    """The optimizer that `config.json` describes; `InputError` when it describes none."""
    defaults = {field.name: field.default for field in dataclasses.fields(KINDS[kind])}
    if set(arguments) != set(defaults):
        odd = sorted(set(defaults).symmetric_difference(arguments))
        raise InputError(f"{file}: arguments of {kind} are {sorted(defaults)}, see {odd}")
    for name, default in defaults.items():
        if type(arguments[name]) not in {type(default), int}:
            raise InputError(
                f"{file}: {name} is {arguments[name]!r}; {kind} needs {type(default).__name__}"
            )
    optimizer = KINDS[kind](**arguments)
    try:
        meta_param_shapes(optimizer)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return optimizer


def _checked(
    arrays: Mapping[str, Any], optimizer: LearnedOptimizer, what: str
) -> dict[str, np.ndarray]:
    """`arrays` as numpy, when they are the meta-parameters of `optimizer`; else `InputError`."""
    wanted = named_leaves(meta_param_shapes(optimizer))
    for name in sorted(set(wanted).symmetric_difference(arrays)):
        verb = "lack" if name in wanted else "have an unknown"
        raise InputError(f"{what} {verb} {name!r}, for {type(optimizer).__name__}")
    checked = {name: np.asarray(arrays[name]) for name in wanted}
    for name, array in checked.items():
        if array.shape != wanted[name].shape or array.dtype != wanted[name].dtype:
            raise InputError(
                f"{what}: {name!r} is {array.dtype}{list(array.shape)}, "
                f"{type(optimizer).__name__} needs {wanted[name].dtype}{list(wanted[name].shape)}"
            )
        if not np.all(np.isfinite(array)):
            raise InputError(f"{what}: {name!r} has values that are not finite")
    return checked


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _golden(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    file = Path(path) / GOLDEN
    wanted = {name: array.shape for name, array in golden.inputs().items()}
    wanted |= {f"after/{name}": (golden.NUM_STEPS, *x) for name, x in golden.SHAPES.items()}
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is damaged: it is no reference trajectory") from error
    found = {name: array.shape for name, array in arrays.items() if array.dtype == np.float32}
    if found != wanted:
        raise InputError(f"{file} is damaged: it is no reference trajectory")
    return arrays


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
