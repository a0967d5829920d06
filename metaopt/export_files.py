"""The files of an export, and what must be true of them whoever loads them. Needs no JAX.

    config.json         architecture with every constant, and how the files are to be understood
    model.safetensors   meta-parameters, float32, by dotted names
    golden.npz          a reference trajectory, see `metaopt.golden`
    eval.json           the evaluations that justify it, where there are any
    README.md           model card: use, results, provenance

The first three are read. No pickle is written or read, and reading needs no network.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metaopt import golden
from metaopt.export_migrations import GOLDEN_HORIZON, GOLDEN_SHAPES, SIGNED, migrated
from metaopt.untrusted_files import Arrays, parse_json, parse_npz, parse_safetensors, read_bytes
from taskset.errors import InputError

FORMAT_VERSION = 2
CONFIG, MODEL, GOLDEN, EVALUATION, CARD = (
    "config.json",
    "model.safetensors",
    "golden.npz",
    "eval.json",
    "README.md",
)
# The most bytes that a file may have. The largest optimizer here, VeLO, has 10 MB.
LIMITS: Mapping[str, int] = {CONFIG: 2**20, MODEL: 2**28, GOLDEN: 2**20}
# Of an argument. Most integers are sizes: JAX makes biases of such a size to find their shape. All
# arithmetic is in float32.
LARGEST: Mapping[type, float] = {int: 2**22, float: 3.4e38}
# What is needed of config.json.
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
    "golden": "param - noise / after: start, what gradients have besides 0.1 param, every step",
}


class ExportFiles(NamedTuple):
    """What the files say. That it fits the architecture is for `check_values`, `check_arrays`."""

    path: Path
    kind: str
    arguments: Mapping[str, Any]
    constants: Mapping[str, Any]  # plain JSON values
    provenance: Mapping[str, Any]
    arrays: Arrays  # meta-parameters by dotted names
    golden: Arrays  # see `metaopt.golden`
    golden_horizon: int | None  # the length that the reference run announces
    changed: tuple[str, ...]  # files that do not have the checksum that they should have


def read(path: str | os.PathLike[str]) -> ExportFiles:
    """The export at `path`, of this format or an older one.

    Raises `InputError` when a file is missing, too large, damaged, or of an unknown format.
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} is not an export: it has no {CONFIG}")
    return parse(path, {name: read_bytes(path / name, limit) for name, limit in LIMITS.items()})


def parse(path: Path, contents: Mapping[str, bytes]) -> ExportFiles:
    """The export whose files have these contents; `path` is for messages. Raises as `read` does."""
    config, version = _parse_config(contents[CONFIG], path)
    arrays = parse_safetensors(contents[MODEL], path / MODEL)
    trajectory = parse_npz(contents[GOLDEN], path / GOLDEN)
    wanted = golden.array_shapes(GOLDEN_SHAPES[version])
    if {name: array.shape for name, array in trajectory.items()} != wanted:
        raise InputError(f"{path / GOLDEN} is damaged: it is no reference trajectory")
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    found |= {CONFIG: config_checksum(config)}
    stored = config["sha256"]
    changed = tuple(name for name in SIGNED[version] if stored.get(name) != found[name])
    said = {name: value for name, value in migrated(config, version).items() if name in FIELDS}
    del said["sha256"]
    return ExportFiles(
        path=path,
        **said,
        arrays=arrays,
        golden=trajectory,
        golden_horizon=GOLDEN_HORIZON[version],
        changed=changed,
    )


def _parse_config(content: bytes, path: Path) -> tuple[dict[str, Any], int]:
    """`config.json` of the export at `path` as it is, and its format version."""
    config = parse_json(content, path / CONFIG)
    version = config.get("format_version")
    if type(version) is not int:
        raise InputError(f"{path / CONFIG} is damaged: it is no configuration of an export")
    if version not in GOLDEN_SHAPES:
        raise InputError(
            f"export {path} has format {version}; this metaopt reads "
            f"{' and '.join(map(str, GOLDEN_SHAPES))}"
        )
    odd = [name for name, kind in FIELDS.items() if not isinstance(config.get(name), kind)]
    if odd:
        raise InputError(f"{path / CONFIG} is damaged: see {odd}, missing or of the wrong type")
    return config, version


def config_checksum(config: Mapping[str, Any]) -> str:
    """The SHA-256 of all that `config.json` says, but for its checksums."""
    said = {name: value for name, value in config.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def signed(config: Mapping[str, Any], contents: Mapping[str, bytes]) -> dict[str, Any]:
    """The configuration with checksums of itself and of the other files."""
    config = json.loads(json.dumps({**config, "format_version": FORMAT_VERSION}))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return {**config, "sha256": {CONFIG: config_checksum(config), **checksums}}


def check_unchanged(files: ExportFiles) -> None:
    """Raises `InputError` where a file does not have its checksum.

    Comes after the other checks, which say more of what is wrong.
    """
    if files.changed:
        raise InputError(
            f"{files.path / files.changed[0]} does not have its checksum in {CONFIG}: "
            "it was changed"
        )


def check_values(
    found: Mapping[str, Any], types: Mapping[str, type], kind: str, what: str, files: ExportFiles
) -> None:
    """Raises `InputError` unless `found`, `what` of the architecture, have these names and types.

    A float may be an integer; a tuple is a list of numbers in JSON. Numbers are those of float32.
    """
    file = files.path / CONFIG
    if set(found) != set(types):
        odd = sorted(set(types).symmetric_difference(found))
        raise InputError(f"{file}: {what} of {kind} are {sorted(types)}, see {odd}"[:500])
    for name, wanted in types.items():
        if not _fits(found[name], wanted):
            limit = LARGEST.get(wanted)
            size = f" of at most {limit:,}" if limit else ""
            raise InputError(
                f"{file}: {name} is {repr(found[name])[:80]}; {kind} needs {wanted.__name__}{size}"
            )


def _fits(value: Any, wanted: type) -> bool:
    if wanted is tuple:
        return isinstance(value, list) and all(_fits(x, float) for x in value)
    if type(value) is int and wanted is float:
        wanted = int
    return type(value) is wanted and (wanted not in LARGEST or abs(value) <= LARGEST[wanted])


def check_arrays(
    arrays: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], kind: str, what: str
) -> None:
    """Raises `InputError` unless `arrays`, called `what`, have these names and shapes."""
    for name in sorted(set(wanted).symmetric_difference(arrays)):
        verb = "lack" if name in wanted else "have an unknown"
        raise InputError(f"{what} {verb} {name[:80]!r}, for {kind}")
    for name, shape in wanted.items():
        found, needed = (list(x) for x in (arrays[name].shape, shape))
        if found != needed:
            raise InputError(f"{what}: {name!r} is {found}, {kind} needs {needed}")


def check_trajectory(files: ExportFiles, run: Callable[[], Mapping[str, Any]]) -> None:
    """Raises `InputError` unless `run` returns the reference trajectory.

    Constants may be such that it raises: of 1e308 there is no exponential.
    """
    try:
        away = golden.deviation(run(), files.golden)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"export {files.path} cannot run its reference trajectory: "
            f"{' '.join(str(error).split())[:200]}; it was changed"
        ) from error
    if not away < golden.TOLERANCE:
        raise InputError(
            f"export {files.path} does not reproduce its reference trajectory: it is off by "
            f"{away:.2g} of the way, the limit is {golden.TOLERANCE:g}; "
            f"it was changed, or made by code that computes something else"
        )
