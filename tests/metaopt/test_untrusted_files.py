"""Exports that are damaged, foreign or made to harm: one clear line, at little cost."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch
from bare_exports import bare_export

import metaopt
from metaopt import export_files
from metaopt.learned_optimizers import CoordinatewiseLSTM, FactoredMLP, HyperController
from metaopt.torch import LearnedOptimizer, reading
from taskset.errors import InputError

CONFIG, MODEL, GOLDEN = "config.json", "model.safetensors", "golden.npz"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    return bare_export(folder / "export", FactoredMLP())


@pytest.fixture
def copy(good, tmp_path):
    (tmp_path / "copy").mkdir()
    for name in (CONFIG, MODEL, GOLDEN):
        (tmp_path / "copy" / name).write_bytes((good / name).read_bytes())
    return tmp_path / "copy"


def by_jax(path):
    return metaopt.load(path, check=False)


LOADERS = {"jax": by_jax, "torch": reading.read}


def signed(path, **fields):
    """Replaces fields of the configuration, and gives all files the checksums they should have."""
    config = json.loads((path / CONFIG).read_text()) | fields
    contents = {name: (path / name).read_bytes() for name in (MODEL, GOLDEN)}
    (path / CONFIG).write_text(json.dumps(export_files.signed(config, contents)))


def npz(compression=zipfile.ZIP_STORED, **entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def claims(shape):
    """The header of an array of float32, without the array."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def tensors(header, content=b"", length=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
FAR = ONE | {"data_offsets": [0, 2**40]}
VAST = ONE | {"shape": [2**62, 4]}
BOMB = npz(zipfile.ZIP_DEFLATED, **{"x.npy": bytes(2**26)})
CLIMBING = npz(**{"../../x.npy": npy(np.zeros(2, np.float32))})
SCRIPT = npz(**{"x.sh": b"rm -rf /"})
NAN = safetensors.numpy.save({"x": np.full(2, np.nan, np.float32)})
WIDE = safetensors.numpy.save({"x": np.zeros(2, np.float64)})
FOREIGN = {
    "a pickle": (MODEL, pickle.dumps({"x": 1}), "model.safetensors is damaged"),
    "a header longer than the file": (MODEL, tensors({}, length=2**40), "is damaged"),
    "a header of 2^63 bytes": (MODEL, tensors({}, length=2**63), "is damaged"),
    "an array beyond the file": (MODEL, tensors({"x": FAR}), "damaged"),
    "more elements than bytes": (MODEL, tensors({"x": VAST}, b"0000"), "damaged"),
    "no bytes at all": (MODEL, b"", "is damaged"),
    "NaN weights": (MODEL, NAN, "'x' has values that are not finite"),
    "float64 weights": (MODEL, WIDE, "an array is of F64, not F32"),
    "a name that climbs": (MODEL, tensors({"../../x": ONE}, b"0000"), "unknown '../../x'|lack"),
    "a zip bomb": (GOLDEN, BOMB, "it is compressed"),
    "an entry that climbs": (GOLDEN, CLIMBING, "no reference"),
    "an entry that is no array": (GOLDEN, SCRIPT, "'x.sh', which is no array"),
    "an array of 4 TB": (GOLDEN, npz(**{"x.npy": claims((2**40,))}), "an array claims to be"),
    "objects": (
        GOLDEN,
        npz(**{"x.npy": npy(np.asarray([{}], object), allow_pickle=True)}),
        "is damaged",
    ),
    "a golden pickle": (GOLDEN, pickle.dumps({"x": 1}), "golden.npz is damaged"),
    "nesting": (CONFIG, b"[" * 100_000, "config.json is damaged: it is no JSON"),
    "a number of many digits": (CONFIG, b"9" * 100_000, "config.json is damaged"),
    "no UTF-8": (CONFIG, b'{"kind": "\xff\xfe"}', "config.json is damaged"),
    "NaN in JSON": (CONFIG, b'{"format_version": NaN}', "config.json is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_refused_in_one_line(name, loader, copy):
    file, content, message = FOREIGN[name]
    (copy / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        LOADERS[loader](copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("file", [CONFIG, MODEL, GOLDEN])
def test_files_larger_than_their_limit_are_not_read(file, loader, copy):
    with (copy / file).open("r+b") as large:
        large.truncate(export_files.LIMITS[file] + 1)
    with pytest.raises(InputError, match=rf"{file} has more than .* bytes, the limit"):
        LOADERS[loader](copy)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_folder_in_place_of_a_file_is_refused(loader, copy):
    (copy / MODEL).unlink()
    (copy / MODEL).mkdir()
    with pytest.raises(InputError, match=r"it is no regular file"):
        LOADERS[loader](copy)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("file", [CONFIG, MODEL, GOLDEN])
def test_an_edit_shows_in_the_checksum(file, loader, copy):
    if file == CONFIG:
        config = json.loads((copy / CONFIG).read_text())
        config["provenance"]["license"] = "mine"
        (copy / CONFIG).write_text(json.dumps(config))
    else:
        content = bytearray((copy / file).read_bytes())
        at = content.find(np.float32(golden_value(copy) if file == GOLDEN else 0).tobytes())
        content[at] ^= 1
        (copy / file).write_bytes(content)
    with pytest.raises(InputError, match=r"does not have its checksum|is damaged"):
        LOADERS[loader](copy)


def golden_value(path):
    return np.load(path / GOLDEN)["param/scalar"]


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**31 - 1, "hidden_size is 2147483647; FactoredMLP needs int"),
        (2**22, r"cannot be built|'network.layer0.bias' is|needs"),
        (0, r"cannot be built|needs"),
        (-1, r"cannot be built|needs"),
        ("4", "hidden_size is '4'; FactoredMLP needs int"),
        (True, "hidden_size is True"),
        (4.0, "hidden_size is 4.0"),
        ("x" * 500, "hidden_size is 'x"),
    ],
)
def test_arguments_that_fit_no_weights_are_refused(value, message, loader, copy):
    config = json.loads((copy / CONFIG).read_text())
    signed(copy, arguments=config["arguments"] | {"hidden_size": value})
    with pytest.raises(InputError, match=message):
        LOADERS[loader](copy)


@pytest.mark.parametrize("loader", LOADERS)
def test_choices_are_checked(loader, tmp_path):
    path = bare_export(tmp_path / "export", HyperController())
    config = json.loads((path / CONFIG).read_text())
    signed(path, arguments=config["arguments"] | {"controller": "gru"})
    with pytest.raises(InputError, match="'gru'"):
        LOADERS[loader](path)


@pytest.mark.parametrize("loader", LOADERS)
def test_numbers_that_float32_does_not_hold_are_refused(loader, copy):
    config = json.loads((copy / CONFIG).read_text())
    signed(copy, arguments=config["arguments"] | {"step_multiplier": 1e39})
    with pytest.raises(InputError, match=r"is 1e\+39; FactoredMLP needs float of at most 3.4e\+38"):
        LOADERS[loader](copy)


def test_constants_that_nothing_can_be_computed_with_are_refused(tmp_path):
    path = bare_export(tmp_path / "export", CoordinatewiseLSTM())
    config = json.loads((path / CONFIG).read_text())
    signed(path, constants=config["constants"] | {"log_scale": 1e6})  # its exponential is needed
    with pytest.raises(InputError, match=r"cannot run its reference trajectory: math range error"):
        LearnedOptimizer([torch.ones(2, requires_grad=True)], path)


@pytest.mark.parametrize("loader", LOADERS)
def test_a_foreign_architecture_is_refused(loader, copy):
    signed(copy, kind="FactoredMPL")
    with pytest.raises(InputError, match="did you mean 'FactoredMLP'"):
        LOADERS[loader](copy)
