"""A trained optimizer as a folder that anyone can read, and back as an optax transformation.

What the files are is in `metaopt.export_files`; `metaopt.torch` reads the same. The folder is
written under another name and then renamed: it is whole or not there.
"""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy

from metaopt import export_files, golden, model_card
from metaopt.export_files import CARD, CONFIG, EVALUATION, GOLDEN, MEANING, MODEL, ExportFiles
from metaopt.learned_optimizers import KINDS, LearnedOptimizer, MetaParams
from metaopt.learned_optimizers.base import meta_param_shapes, named_leaves
from metaopt.learned_optimizers.wrappers import AccumulatorDtype, wrapped
from taskset.errors import InputError, unknown_name
from taskset.whole_files import new_folder, write_durably


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
    shapes, kind = meta_param_shapes(optimizer), type(optimizer).__name__
    arrays = _checked(named_leaves(meta_params), shapes, kind, "the meta-parameters")
    reference = golden.inputs()
    announced = optimizer.as_optax(meta_params, num_steps=golden.HORIZON)
    after = trajectory(announced, reference)
    reference |= {f"after/{name}": array for name, array in after.items()}
    contents = {MODEL: safetensors.numpy.save(arrays), GOLDEN: _npz(reference)}
    config = export_files.signed(_config(optimizer, arrays, provenance), contents)
    contents |= {CONFIG: _json(config), CARD: model_card.write(config, evaluations).encode()}
    if evaluations:
        contents[EVALUATION] = _json(evaluations)
    try:
        with new_folder(path) as folder:
            for name, content in contents.items():
                write_durably(folder / name, content)
    except OSError as error:
        raise InputError(f"cannot write export {path}: {error.strerror}") from error
    return path


def check_new(path: Path) -> None:
    """Raises `InputError` where there is something at `path` that an export would replace."""
    if path.exists():
        raise InputError(f"export folder {path} exists; choose another, or remove it first")


def _config(
    optimizer: LearnedOptimizer, arrays: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `config.json`, but for format and checksums."""
    return {
        "kind": type(optimizer).__name__,
        "arguments": dataclasses.asdict(optimizer),
        "constants": dict(optimizer.constants),
        "meaning": MEANING,
        "num_meta_params": int(sum(x.size for x in arrays.values())),
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
        files = export_files.read(path)
        exported = _exported(files)
        if check:
            export_files.check_trajectory(files, lambda: _announced(exported, files))
    transformation = exported.optimizer.as_optax(exported.meta_params, num_steps=num_steps)
    return wrapped(
        transformation,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        accumulator_dtype=accumulator_dtype,
        base_params=base_params,
    )


def _announced(exported: Exported, files: ExportFiles) -> dict[str, np.ndarray]:
    """What the exported optimizer does in the reference run of its files."""
    optimizer, meta_params, _ = exported
    announced = optimizer.as_optax(meta_params, num_steps=files.golden_horizon)
    return trajectory(announced, files.golden)


def trajectory(
    optimizer: optax.GradientTransformationExtraArgs, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the optimizer does in the reference run: see `golden`.

    Returns the parameters after each update, [NUM_STEPS, ...] float32, by name.
    """

    def step(carry: tuple[Any, Any], noise: Any) -> tuple[tuple[Any, Any], Any]:
        params, state = carry
        gradients = jax.tree.map(lambda n, p: n + golden.GRADIENT_OF_PARAM * p, noise, params)
        value = sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradients))
        updates, state = optimizer.update(gradients, state, params, value=value)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    run = jax.jit(lambda params, noise: jax.lax.scan(step, (params, optimizer.init(params)), noise))
    params, noise = (jax.tree.map(jnp.asarray, golden.part(arrays, x)) for x in ("param", "noise"))
    # Accelerators may round the factors of matrix products, beyond the tolerance, unless told.
    with jax.default_matmul_precision("highest"):
        after = run(params, noise)[1]
    return {name: np.asarray(x) for name, x in after.items()}


def read(path: str | os.PathLike[str]) -> Exported:
    """What the export at `path` holds, all but the trajectory checked. Raises as `load` does."""
    return _exported(export_files.read(path))


def _exported(files: ExportFiles) -> Exported:
    kind, file = files.kind, files.path / CONFIG
    if kind not in KINDS:
        raise unknown_name(f"learned optimizer in {file}:", kind[:80], KINDS)
    types = {field.name: type(field.default) for field in dataclasses.fields(KINDS[kind])}
    export_files.check_values(files.arguments, types, kind, "arguments", files)
    optimizer = KINDS[kind](**files.arguments)
    constants = json.loads(json.dumps(dict(optimizer.constants)))
    if files.constants != constants:
        odd = [name for name in constants if files.constants.get(name) != constants[name]]
        raise InputError(
            f"export {files.path} was made for constants other than those of this metaopt's "
            f"{kind}, see {odd}; load it with the version that made it"
        )
    try:
        shapes = meta_param_shapes(optimizer)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    arrays = _checked(files.arrays, shapes, kind, str(files.path / MODEL))
    export_files.check_unchanged(files)
    leaves = [jnp.asarray(arrays[name]) for name in named_leaves(shapes)]
    meta_params = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return Exported(optimizer, meta_params, files.provenance)


def meta_params_for(optimizer: LearnedOptimizer, path: str | os.PathLike[str]) -> MetaParams:
    """The meta-parameters in the export at `path`, for `optimizer` to begin at.

    It may be configured otherwise than what was exported, as long as the names and shapes of its
    meta-parameters are the same; raises `InputError` where they are not, and as `load` does.
    """
    arrays = named_leaves(found := read(path).meta_params)
    shapes, kind = meta_param_shapes(optimizer), type(optimizer).__name__
    _checked(arrays, shapes, kind, f"the meta-parameters of {path}")
    return found


def checksum(meta_params: MetaParams) -> str:
    """The SHA-256 of meta-parameters, as their `model.safetensors` has it."""
    arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(meta_params).items()}
    return hashlib.sha256(safetensors.numpy.save(arrays)).hexdigest()


def _checked(
    arrays: Mapping[str, Any], wanted: MetaParams, kind: str, what: str
) -> dict[str, np.ndarray]:
    """`arrays` as numpy, when they are the meta-parameters `wanted`; else `InputError`."""
    shapes = {name: tuple(leaf.shape) for name, leaf in named_leaves(wanted).items()}
    found = {name: np.asarray(array) for name, array in arrays.items()}
    export_files.check_arrays(found, shapes, kind, what)
    for name, array in found.items():
        if array.dtype != np.float32:
            raise InputError(f"{what}: {name!r} is {array.dtype}, it must be float32")
        if not np.all(np.isfinite(array)):
            raise InputError(f"{what}: {name!r} has values that are not finite")
    return {name: found[name] for name in shapes}


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
