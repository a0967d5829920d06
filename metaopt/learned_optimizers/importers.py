"""Weights of VeLO and Celo as their authors published them.

Their files are state dictionaries of flax as msgpack: nested maps by name, arrays as extension 1,
which is again msgpack of shape, dtype and bytes. Nothing in them is code, and nothing is run.

    optimizer, meta_params = importers.load("params")
    metaopt.export("velo", optimizer, meta_params)

or `metaopt optimizers import params --out velo`.

What comes back computes what the released code does, but for one feature of vectors and scalars:
momenta are divided by the root of the mean square, to which 1e-6 is added here, and nothing there.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgpack
import numpy as np

from metaopt.learned_optimizers.base import MetaParams
from metaopt.learned_optimizers.celo import Celo
from metaopt.learned_optimizers.velo import VeLO
from taskset.errors import InputError

NUM_INPUTS = {"VeLO": 30, "Celo": 18}  # of the LSTM, which tells the two apart
MAX_BYTES = 256 * 2**20  # of a file; VeLO has 9 MB
ARRAY = 1  # the extension of msgpack that flax keeps arrays in
# How many features of a parameter each matrix of the first layer of an MLP is for, in the order of
# the file; and which of them our first layer has in turn: see `factored_features`.
NUMBERS = (1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3)
ORDER = (0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 1, 8)
# The inputs of the LSTMs of VeLO, which has them in the order of their names: schedule and mean
# second moment, number of axes, variances. Here the variances are before the number of axes.
INPUTS_OF_TENSOR = (*range(19), *range(24, 30), *range(19, 24))

Arrays = dict[str, np.ndarray]  # by path, as "rnn_params/linear/w"


class Imported(NamedTuple):
    """An optimizer and its weights, as `metaopt.export` takes them."""

    optimizer: VeLO | Celo
    meta_params: MetaParams


def load(
    path: str | os.PathLike[str], *, equal_averages: bool = False, forgets: bool = False
) -> Imported:
    """VeLO or Celo, whichever the weights are of: as `load_velo` or `load_celo`.

    Raises `InputError` as they do, and where the flags, which are for VeLO, are given for Celo.
    """
    arrays = _read(Path(path))
    # Where it is neither, `load_velo` says what it lacks.
    num_inputs = np.shape(arrays.get("rnn_params/linear/w", ()))[:1]
    if num_inputs != (NUM_INPUTS["Celo"],):
        return _velo(arrays, Path(path), equal_averages, forgets)
    if equal_averages or forgets:
        raise InputError(f"{path} has weights of Celo; equal_averages and forgets are for VeLO")
    return _celo(arrays, Path(path))


def load_velo(
    path: str | os.PathLike[str], *, equal_averages: bool = False, forgets: bool = False
) -> Imported:
    """VeLO (https://arxiv.org/abs/2211.09760) from its file "params", of any size of its networks.

    The flags are those of `VeLO`, for weights older than those of the paper. Raises `InputError`
    where the file cannot be read, is damaged, or holds something else.
    """
    return _velo(_read(Path(path)), Path(path), equal_averages, forgets)


def load_celo(path: str | os.PathLike[str]) -> Imported:
    """Celo (https://arxiv.org/abs/2501.12670) from its file "theta.state".

    Raises as `load_velo` does.
    """
    return _celo(_read(Path(path)), Path(path))


def _velo(arrays: Arrays, path: Path, equal_averages: bool, forgets: bool) -> Imported:
    sizes = _check(arrays, NUM_INPUTS["VeLO"], path)
    optimizer = VeLO(
        lstm_size=sizes.lstm,
        bank_size=sizes.bank,
        hidden_size=sizes.hidden,
        released=True,
        equal_averages=equal_averages,
        forgets=forgets,
    )
    layer = lambda name: _inputs_in_order(_layer(arrays, name))
    meta_params = {
        "tell_first": layer("linear"),  # which nothing uses
        "tell_second": layer("linear_1"),
        "straight": layer("linear_2"),
        "lstm": _layer(arrays, "rnn/linear"),
        "start": _start(arrays),
        "mixture": _layer(arrays, "rnn_to_controls"),
        "rate": _layer(arrays, "step_size"),
        "bank": _bank(arrays),
    }
    return Imported(optimizer, jax.tree.map(jnp.asarray, meta_params))


def _celo(arrays: Arrays, path: Path) -> Imported:
    sizes = _check(arrays, NUM_INPUTS["Celo"], path)
    if sizes.bank != 1:
        raise InputError(f"{path} has {sizes.bank} MLPs; Celo has one, so it may be for load_velo")
    optimizer = Celo(lstm_size=sizes.lstm, hidden_size=sizes.hidden, released=True)
    schedule = {
        "rectified": _layer(arrays, "linear_1"),
        "straight": _layer(arrays, "linear_2"),
        "lstm": _layer(arrays, "rnn/linear"),
        "start": _start(arrays),
        "output": _layer(arrays, "step_size"),
    }
    mlp = {name: {part: x[0] for part, x in layer.items()} for name, layer in _bank(arrays).items()}
    return Imported(optimizer, jax.tree.map(jnp.asarray, {"mlp": mlp, "schedule": schedule}))


class _Sizes(NamedTuple):
    lstm: int
    bank: int
    hidden: int


def _read(path: Path) -> Arrays:
    """The arrays of a file by path, without what a checkpoint has around them."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has more than {MAX_BYTES:,} bytes: these are no such weights")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    try:
        tree = msgpack.unpackb(content, ext_hook=_array)
        # A checkpoint is {"params": weights, "gen_id": ..., "step": ...}, an older one a tuple.
        return dict(_flat(tree.get("params", tree.get("0", tree))))
    except (ValueError, TypeError, AttributeError, KeyError, msgpack.UnpackException) as error:
        raise InputError(f"{path} is damaged, or not msgpack of flax: {error}") from error


def _array(code: int, data: bytes) -> np.ndarray:
    if code != ARRAY:
        raise ValueError(f"extension {code} is no array")
    shape, dtype, content = msgpack.unpackb(data)
    if dtype != "float32":
        raise ValueError(f"an array is of {dtype}, not float32")
    return np.frombuffer(content, "<f4").reshape(shape).astype(np.float32)


def _flat(tree: Any, at: str = "") -> list[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        return [(at, tree)]
    if set(tree) == {"name", "fields", "values"}:  # a named tuple, by old versions of flax
        tree = {tree["fields"][i]: tree["values"][i] for i in tree["fields"]}
    return [item for key in tree for item in _flat(tree[key], f"{at}/{key}" if at else str(key))]


def _check(arrays: Mapping[str, Any], num_inputs: int, path: Path) -> _Sizes:
    """The sizes of the networks, when the arrays are just those that such networks have."""
    known = {"lstm_init_state/hidden": 2, "ff_mod_stack/~/w1": 3}  # and how many axes
    for name, num_axes in known.items():
        if len(np.shape(arrays.get(name, ()))) != num_axes:
            raise InputError(f"{path} has no weights of VeLO or Celo: it lacks {name!r}")
    state, layer = (arrays[name] for name in known)
    sizes = _Sizes(lstm=state.shape[1], bank=layer.shape[0], hidden=layer.shape[1])
    expected = _layout(sizes, num_inputs)
    for name in sorted(set(expected).symmetric_difference(arrays)):
        raise InputError(f"{path} {'lacks' if name in expected else 'has an unknown'} {name!r}")
    for name, shape in expected.items():
        if np.shape(arrays[name]) != shape:
            found = list(np.shape(arrays[name]))
            raise InputError(f"{path}: {name!r} is {found}; with {sizes} it must be {list(shape)}")
        if not np.all(np.isfinite(arrays[name])):
            raise InputError(f"{path}: {name!r} has values that are not finite")
    return sizes


def _layout(sizes: _Sizes, num_inputs: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays in a file, by path."""
    lstm, bank, hidden = sizes
    layers = {
        "linear": (num_inputs, lstm),
        "linear_1": (num_inputs, lstm),
        "linear_2": (num_inputs, lstm),
        "rnn/linear": (2 * lstm, 4 * lstm),
        "rnn_to_controls": (lstm, bank),
        "step_size": (lstm, 1),
    }
    of_mlp = {f"w0__{i}": (number, hidden) for i, number in enumerate(NUMBERS)}
    of_mlp |= {"w1": (hidden, hidden), "w2": (hidden, 3)}
    of_mlp |= {"b0": (hidden,), "b1": (hidden,), "b2": (3,)}
    return {
        **{f"lstm_init_state/{name}": (1, lstm) for name in ("hidden", "cell")},
        **{f"rnn_params/{name}/w": shape for name, shape in layers.items()},
        **{f"rnn_params/{name}/b": shape[1:] for name, shape in layers.items()},
        **{f"ff_mod_stack/~/{name}": (bank, *shape) for name, shape in of_mlp.items()},
    }


def _layer(arrays: Arrays, name: str) -> dict[str, np.ndarray]:
    return {"weight": arrays[f"rnn_params/{name}/w"], "bias": arrays[f"rnn_params/{name}/b"]}


def _inputs_in_order(layer: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return layer | {"weight": layer["weight"][list(INPUTS_OF_TENSOR)]}


def _start(arrays: Arrays) -> dict[str, np.ndarray]:
    names = {"output": "hidden", "memory": "cell"}
    return {ours: arrays[f"lstm_init_state/{theirs}"][0] for ours, theirs in names.items()}


def _bank(arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
    """The MLPs, each array [MLPs, ...]."""
    part = lambda name: arrays[f"ff_mod_stack/~/{name}"]
    first = np.concatenate([part(f"w0__{i}") for i in ORDER], axis=1)
    weights = [first, part("w1"), part("w2")]
    return {f"layer{i}": {"weight": w, "bias": part(f"b{i}")} for i, w in enumerate(weights)}
