"""Checkpoints: folders of arrays that are whole or not there at all.

    checkpoints/step_000120/arrays.safetensors   every leaf by its path, as "meta_params/bias0"
                            manifest.json        step, info, and shape, dtype and checksum of that

A folder is written under another name, forced to disk, then renamed. No pickle is written or read.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from taskset.errors import InputError
from taskset.whole_files import write_durably

FORMAT_VERSION = 1
ARRAYS, MANIFEST = "arrays.safetensors", "manifest.json"
LIBRARIES = ("metaopt", "jax", "jaxlib", "numpy", "optax")


class Manifest(NamedTuple):
    """What is known of a checkpoint without its arrays."""

    step: int  # outer steps done
    info: Mapping[str, Any]  # what `save` was given, plain JSON values
    arrays: Mapping[str, Mapping[str, Any]]  # shape and dtype by path
    sha256: str  # of the arrays file
    versions: Mapping[str, str]  # of the libraries that wrote it
    format_version: int = FORMAT_VERSION


def save(folder: Path, step: int, parts: Mapping[str, Any], info: Mapping[str, Any] = {}) -> Path:
    """Writes the checkpoint of `step` into `folder` and returns its path.

    `parts` are pytrees by name, which `load` gives back one by one. The leaves may be arrays of any
    dtype, typed PRNG keys, and Python numbers. `info` is kept in the manifest. A checkpoint of the
    same step is replaced. Raises `OSError` when the disk is full or cannot be written; then what
    was there before is there still, and nothing else.
    """
    encoded = {path: _encode(leaf) for path, leaf in _leaves(parts).items()}
    final = folder / f"step_{step:06d}"
    temporary = folder / f".{final.name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process that had the same id
    content = safetensors.numpy.save({path: array for path, (array, _) in encoded.items()})
    manifest = Manifest(
        step=step,
        info=info,
        arrays={
            path: {"shape": list(array.shape), "dtype": dtype}
            for path, (array, dtype) in encoded.items()
        },
        sha256=hashlib.sha256(content).hexdigest(),
        versions={name: importlib.metadata.version(name) for name in LIBRARIES},
    )
    try:
        temporary.mkdir(parents=True)
        write_durably(temporary / ARRAYS, content)
        write_durably(temporary / MANIFEST, json.dumps(manifest._asdict(), indent=1).encode())
        _flush_folder(temporary)
        _replace(temporary, final)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush_folder(folder)
    return final


def load(path: Path, templates: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the checkpoint at `path` that `templates` names, of the structures given there.

    The leaves of a template are arrays, `jax.ShapeDtypeStruct`s or Python numbers; those that come
    back are numpy arrays, PRNG keys and Python numbers. Raises `InputError` when the checkpoint is
    damaged, or does not have the very keys, shapes and dtypes of the templates.
    """
    manifest = read_manifest(path)
    arrays = safetensors.numpy.load_file(path / ARRAYS)
    wanted = _leaves(templates)
    present = {key for key in arrays if any(key == p or key.startswith(f"{p}/") for p in templates)}
    for key in sorted(present.symmetric_difference(wanted)):
        raise InputError(
            f"checkpoint {path} and the configuration disagree: "
            + (f"it lacks {key!r}" if key in wanted else f"it has {key!r}, which has no place")
        )
    leaves = [
        _decode(arrays[key], manifest.arrays[key]["dtype"], leaf, f"{key!r} of checkpoint {path}")
        for key, leaf in wanted.items()
    ]
    return jax.tree.unflatten(jax.tree.structure(dict(templates)), leaves)


def load_arrays(path: Path, part: str) -> dict[str, np.ndarray]:
    """The arrays of one part of the checkpoint at `path`, by their path within the part.

    For a part that has no template. Typed PRNG keys come back as the numbers they are made of.
    Raises `InputError` when the checkpoint is damaged.
    """
    read_manifest(path)
    arrays = safetensors.numpy.load_file(path / ARRAYS)
    prefix = f"{part}/"
    return {
        key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)
    }


def read_manifest(path: Path) -> Manifest:
    """The manifest of the checkpoint at `path`, after a comparison of its arrays with the checksum.

    Raises `InputError` when the checkpoint is missing, truncated, edited or of another format.
    """
    try:
        fields = json.loads((path / MANIFEST).read_bytes())
        version = fields["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(
                f"checkpoint {path} has format {version}; this metaopt reads {FORMAT_VERSION}"
            )
        manifest = Manifest(**fields)
        checksum = hashlib.sha256((path / ARRAYS).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"checkpoint {path} is damaged: {MANIFEST} is not a manifest") from error
    if checksum != manifest.sha256:
        raise InputError(
            f"checkpoint {path} is damaged: {ARRAYS} does not have the checksum of its manifest"
        )
    return manifest


def steps(folder: Path) -> list[int]:
    """The steps that `folder` has checkpoints of, in order, damaged ones included."""
    matches = [re.fullmatch(r"step_(\d+)", path.name) for path in folder.glob("step_*")]
    return sorted(int(match[1]) for match in matches if match)


def at(folder: Path, step: int) -> Path:
    """The checkpoint of `step`. Raises `InputError` when there is none."""
    if step not in steps(folder):
        have = ", ".join(map(str, steps(folder))) or "none"
        raise InputError(f"no checkpoint of step {step} in {folder}; there are: {have}")
    return folder / f"step_{step:06d}"


def newest(folder: Path) -> Path:
    """The newest checkpoint.

    Raises `InputError` when there is none, or when the newest is damaged: then the message offers
    the newest good one, and to take it is left to the user.
    """
    found = steps(folder)
    if not found:
        raise InputError(f"no checkpoint in {folder}")
    try:
        read_manifest(at(folder, found[-1]))
    except InputError as error:
        good = [step for step in found[:-1] if _is_good(at(folder, step))]
        offer = f"--step {good[-1]} takes the previous good one" if good else "no older one is good"
        raise InputError(f"{error}; {offer}") from error
    return at(folder, found[-1])


def best(folder: Path) -> Path:
    """The best checkpoint by validation; the newest where nothing was validated."""
    path = newest(folder)
    chosen = read_manifest(path).info.get("best")
    return at(folder, chosen["step"]) if chosen else path


def prune(folder: Path, keep: int, best_step: int | None = None) -> None:
    """Deletes what a killed save left, and all but the newest `keep` and that of `best_step`."""
    found = steps(folder)
    for step in set(found) - set(found[-keep:]) - {best_step}:
        shutil.rmtree(at(folder, step))
    for unfinished in folder.glob(".step_*"):
        shutil.rmtree(unfinished)


def _leaves(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(dict(tree))[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _encode(leaf: Any) -> tuple[np.ndarray, str]:
    if _is_key(leaf):
        return np.asarray(jax.random.key_data(leaf)), f"key:{jax.random.key_impl(leaf)}"
    array = np.asarray(leaf)
    return np.ascontiguousarray(array).reshape(array.shape), str(array.dtype)


def _decode(array: np.ndarray, dtype: str, template: Any, name: str) -> Any:
    kind, _, implementation = dtype.partition(":")
    leaf = array
    if kind == "key":
        leaf = jax.random.wrap_key_data(jax.numpy.asarray(array), impl=implementation)
    expected = template if hasattr(template, "dtype") else np.asarray(template)
    if (leaf.shape, leaf.dtype) != (expected.shape, expected.dtype):
        raise InputError(
            f"{name} has shape {leaf.shape} and dtype {leaf.dtype}; "
            f"the configuration needs {expected.shape} and {expected.dtype}"
        )
    return leaf.item() if isinstance(template, bool | int | float) else leaf


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _is_good(path: Path) -> bool:
    try:
        read_manifest(path)
    except InputError:
        return False
    return True


def _replace(temporary: Path, final: Path) -> None:
    # A folder that has files cannot be renamed over, so an old one steps aside first.
    if final.exists():
        aside = temporary.with_name(f"{temporary.name}.old")
        final.rename(aside)
        temporary.rename(final)
        shutil.rmtree(aside)
    else:
        temporary.rename(final)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
